package service

import "encoding/json"

// Types of jobs.
const (
	JobMethod = "scheduleDeviceMethod"
	JobTwin   = "scheduleUpdateTwin"
)

// States of a job.
const (
	JobScheduled = "scheduled" // its start time has not come
	JobQueued    = "queued"
	JobRunning   = "running"
	JobCompleted = "completed" // for each device, well or not
	JobFailed    = "failed"
	JobCancelled = "cancelled"
)

// Job calls a method or changes the twin of all devices that meet a condition, in
// the form of GET /jobs/v2/{id}. A client sets the id, Type, what is to be done,
// QueryCondition, StartTime and MaxExecutionTime; the hub sets the rest.
type Job struct {
	JobID            string          `json:"jobId"`
	QueryCondition   string          `json:"queryCondition,omitempty"`
	CreatedTime      Time            `json:"createdTime"`
	StartTime        Time            `json:"startTime"`
	EndTime          *Time           `json:"endTime,omitempty"`
	MaxExecutionTime int64           `json:"maxExecutionTimeInSeconds"`
	Type             string          `json:"type"`
	Method           *MethodOfJob    `json:"cloudToDeviceMethod,omitempty"`
	UpdateTwin       json.RawMessage `json:"updateTwin,omitempty"`
	Status           string          `json:"status"`
	FailureReason    string          `json:"failureReason,omitempty"`
	StatusMessage    string          `json:"statusMessage,omitempty"`
	Statistics       *JobStatistics  `json:"deviceJobStatistics,omitempty"`
}

// Ended reports whether the job does no more.
func (j *Job) Ended() bool {
	return j.Status == JobCompleted || j.Status == JobFailed || j.Status == JobCancelled
}

// MethodOfJob is the direct method that a job calls.
type MethodOfJob struct {
	Name            string          `json:"methodName"`
	Payload         json.RawMessage `json:"payload,omitempty"`
	ResponseTimeout int             `json:"responseTimeoutInSeconds,omitempty"`
	ConnectTimeout  int             `json:"connectTimeoutInSeconds,omitempty"`
}

// JobStatistics counts the devices of a job by what became of them.
type JobStatistics struct {
	Devices   int `json:"deviceCount"`
	Failed    int `json:"failedCount"`
	Succeeded int `json:"succeededCount"`
	Running   int `json:"runningCount"`
	Pending   int `json:"pendingCount"`
}

// DeviceJob is what became of a job for one device or module, as a query FROM
// devices.jobs shows it.
type DeviceJob struct {
	DeviceID    string          `json:"deviceId"`
	ModuleID    string          `json:"moduleId,omitempty"`
	JobID       string          `json:"jobId"`
	JobType     string          `json:"jobType"`
	Status      string          `json:"status"` // pending, running, completed, failed or canceled
	StartTime   *Time           `json:"startTimeUtc,omitempty"`
	EndTime     *Time           `json:"endTimeUtc,omitempty"`
	CreatedTime Time            `json:"createdDateTimeUtc"`
	UpdatedTime Time            `json:"lastUpdatedDateTimeUtc"`
	Outcome     *JobOutcome     `json:"outcome,omitempty"`
	Error       *DeviceJobError `json:"error,omitempty"`
}

// JobOutcome is what a device answered.
type JobOutcome struct {
	Method *JobMethodResponse `json:"deviceMethodResponse,omitempty"`
}

// JobMethodResponse is the answer of a method that a job called.
type JobMethodResponse struct {
	Payload json.RawMessage `json:"payload"`
	Status  int             `json:"status"`
}

// DeviceJobError says why a job failed for one device, with the six digits of IoT
// Hub's code.
type DeviceJobError struct {
	Code        string `json:"code"`
	Description string `json:"description"`
}
