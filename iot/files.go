package iot

import "context"

// Files is the part of a hub that devices ask where to put a file: IoT Hub hands out
// addresses in a blob store, and does not see the file itself. A [Hub] whose head is
// to serve it implements Files; one that does not takes no files.
//
// As for [Scopes] each question brings the caller's proof, for it comes by itself,
// over HTTPS.
type Files interface {
	// BeginUpload returns where a device may put a file that it calls name, and what
	// it shows there. The hub notes that an upload is under way. Throttled or
	// Forbidden: the device has too many that have not ended.
	BeginUpload(ctx context.Context, creds Credentials, name string) (Upload, error)

	// EndUpload says how an upload ended. Applications that listen hear of a file that
	// is there. Invalid: the hub knows no such upload of the device, or no longer.
	EndUpload(ctx context.Context, creds Credentials, result UploadResult) error
}

// Upload is where a file goes: https://{Host}/{Container}/{Blob}{Token}.
type Upload struct {
	ID        string // names the upload to [Files.EndUpload]
	Host      string // of the blob store, perhaps with a port and a path
	Container string
	Blob      string // the device's id, a slash, and the name
	Token     Secret // a query, with its question mark
}

// UploadResult says how an upload ended, as the device has it.
type UploadResult struct {
	ID          string // of the [Upload]
	Success     bool
	Status      int // of the blob store
	Description string
}
