package service

// RegistryJob moves identities into blobs and back, in the form of GET /jobs/{id}. A
// client sets Type, the containers and what is in them; the hub sets the rest.
type RegistryJob struct {
	JobID                 string `json:"jobId"`
	StartTime             *Time  `json:"startTimeUtc,omitempty"`
	EndTime               *Time  `json:"endTimeUtc,omitempty"`
	Type                  string `json:"type"` // import or export
	Status                string `json:"status"`
	Progress              int    `json:"progress"` // percent
	InputContainer        string `json:"inputBlobContainerUri,omitempty"`
	InputBlob             string `json:"inputBlobName,omitempty"`
	OutputContainer       string `json:"outputBlobContainerUri,omitempty"`
	OutputBlob            string `json:"outputBlobName,omitempty"`
	ExcludeKeys           bool   `json:"excludeKeysInExport"`
	StorageAuthentication string `json:"storageAuthenticationType,omitempty"`
	IncludeConfigurations bool   `json:"includeConfigurations,omitempty"`
	FailureReason         string `json:"failureReason,omitempty"`
}
