// Package code holds IoT Hub's error codes: the six digits and the names that a
// service client branches on, where an [iot.Kind] alone is too coarse.
//
// A [Code] is an error, so it can be the cause of an [iot.Error]; [Errorf] makes
// one of those. [Of] finds the code of any error, falling back on its kind, and
// so every answer of the service API has one.
//
// The numbers are those of Microsoft's service SDKs (enum ErrorCode); the first
// three digits are the HTTP status.
package code

import (
	"errors"
	"strings"
	"time"

	"sluice/iot"
)

// Code is one of IoT Hub's error codes.
type Code int

// The codes that the service answers with.
const (
	InvalidProtocolVersion      Code = 400001 // api-version is missing or unknown
	InvalidOperation            Code = 400003
	ArgumentInvalid             Code = 400004
	ArgumentNull                Code = 400005
	FormatError                 Code = 400006 // the body is not what it must be
	BlobContainerInvalid        Code = 400008
	DeviceDefinedMultipleTimes  Code = 400011 // twice in one bulk request
	BulkRegistryFailure         Code = 400013
	StorageNotConfigured        Code = 400014 // no blob store belongs to the hub
	UnknownUpload               Code = 400015 // no such upload of the device
	ExpiredUpload               Code = 400016
	InvalidUploadStatus         Code = 400019
	InvalidStorage              Code = 400020 // the blob store refuses, or has no such blob
	IotHubNotFound              Code = 401001
	Unauthorized                Code = 401002
	QuotaExceeded               Code = 403002
	JobQuotaExceeded            Code = 403003
	QueueDepthExceeded          Code = 403004
	TooManyUploads              Code = 403006 // of one device, that have not ended
	DeviceNotFound              Code = 404001
	JobNotFound                 Code = 404002
	ModuleNotFound              Code = 404010
	DeviceNotOnline             Code = 404103
	ConfigurationNotFound       Code = 404301
	ResourceNotFound            Code = 404000 // no such path
	MethodNotAllowed            Code = 405000
	DeviceAlreadyExists         Code = 409001
	LinkCreationConflict        Code = 409002
	JobAlreadyExists            Code = 409104
	ModuleAlreadyExistsOnDevice Code = 409301
	ConfigurationAlreadyExists  Code = 409401
	PreconditionFailed          Code = 412001
	MessageLockLost             Code = 412002
	MessageTooLarge             Code = 413001
	TooManyDevices              Code = 413002
	TooManyModulesOnDevice      Code = 413003
	TooManyConfigurations       Code = 413101
	Throttling                  Code = 429001
	TooManyActiveJobs           Code = 429004
	ServerError                 Code = 500001
	ServiceUnavailable          Code = 503001
	GatewayTimeout              Code = 504101
)

// names are those of the header iothub-errorcode and of "ErrorCode:" in bodies.
var names = map[Code]string{
	InvalidProtocolVersion:      "InvalidProtocolVersion",
	InvalidOperation:            "InvalidOperation",
	ArgumentInvalid:             "ArgumentInvalid",
	ArgumentNull:                "ArgumentNull",
	FormatError:                 "IotHubFormatError",
	BlobContainerInvalid:        "BlobContainerValidationError",
	DeviceDefinedMultipleTimes:  "DeviceDefinedMultipleTimes",
	BulkRegistryFailure:         "BulkRegistryOperationFailure",
	StorageNotConfigured:        "DefaultStorageEndpointNotConfigured",
	UnknownUpload:               "InvalidFileUploadCorrelationId",
	ExpiredUpload:               "ExpiredFileUploadCorrelationId",
	InvalidUploadStatus:         "InvalidFileUploadCompletionStatus",
	InvalidStorage:              "InvalidStorageEndpointOrBlob",
	IotHubNotFound:              "IotHubNotFound",
	Unauthorized:                "IotHubUnauthorizedAccess",
	QuotaExceeded:               "IotHubQuotaExceeded",
	JobQuotaExceeded:            "JobQuotaExceeded",
	QueueDepthExceeded:          "DeviceMaximumQueueDepthExceeded",
	TooManyUploads:              "DeviceMaximumActiveFileUploadLimitExceeded",
	DeviceNotFound:              "DeviceNotFound",
	JobNotFound:                 "JobNotFound",
	ModuleNotFound:              "ModuleNotFound",
	DeviceNotOnline:             "DeviceNotOnline",
	ConfigurationNotFound:       "ConfigurationNotFound",
	ResourceNotFound:            "ResourceNotFound",
	MethodNotAllowed:            "MethodNotAllowed",
	DeviceAlreadyExists:         "DeviceAlreadyExists",
	LinkCreationConflict:        "LinkCreationConflict",
	JobAlreadyExists:            "JobAlreadyExists",
	ModuleAlreadyExistsOnDevice: "ModuleAlreadyExistsOnDevice",
	ConfigurationAlreadyExists:  "ConfigurationAlreadyExists",
	PreconditionFailed:          "PreconditionFailed",
	MessageLockLost:             "DeviceMessageLockLost",
	MessageTooLarge:             "MessageTooLarge",
	TooManyDevices:              "TooManyDevices",
	TooManyModulesOnDevice:      "TooManyModulesOnDevice",
	TooManyConfigurations:       "ConfigurationCountLimitExceeded",
	Throttling:                  "ThrottlingException",
	TooManyActiveJobs:           "ThrottlingMaxActiveJobCountExceeded",
	ServerError:                 "ServerError",
	ServiceUnavailable:          "ServiceUnavailable",
	GatewayTimeout:              "GatewayTimeout",
}

// Parse finds the code with a name, as the header iothub-errorcode brings it.
func Parse(name string) (Code, bool) {
	for c, n := range names {
		if n == name {
			return c, true
		}
	}
	return 0, false
}

// String is the name of c.
func (c Code) String() string {
	if name, ok := names[c]; ok {
		return name
	}
	return "InvalidErrorCode"
}

// Error is the name of c.
func (c Code) Error() string { return c.String() }

// Status is the HTTP status of c.
func (c Code) Status() int { return int(c) / 1000 }

// Kind is the kind of error that c is one of.
func (c Code) Kind() iot.Kind { return iot.KindFromHTTP(c.Status()) }

// byKind says which code stands for an error that brings none.
var byKind = map[iot.Kind]Code{
	iot.Internal:           ServerError,
	iot.Invalid:            ArgumentInvalid,
	iot.Unauthorized:       Unauthorized,
	iot.Forbidden:          QuotaExceeded,
	iot.NotFound:           DeviceNotFound,
	iot.Conflict:           DeviceAlreadyExists,
	iot.PreconditionFailed: PreconditionFailed,
	iot.TooLarge:           MessageTooLarge,
	iot.Throttled:          Throttling,
	iot.Unavailable:        ServiceUnavailable,
	iot.Timeout:            GatewayTimeout,
}

// Errorf makes an [iot.Error] with code c as its cause and the kind of c. The
// detail reaches the client. The identity is optional: pass the zero one.
func Errorf(c Code, op string, id iot.Identity, format string, args ...any) *iot.Error {
	err := iot.Errorf(c.Kind(), op, id, format, args...)
	err.Err = c
	return err
}

// Of finds the code in the chain of err, or else the one that stands for its
// kind.
func Of(err error) Code {
	var c Code
	if errors.As(err, &c) {
		return c
	}
	return byKind[iot.KindOf(err)]
}

// CheckAPIVersion checks the api-version of a request: a date since the first
// preview of the service, such as 2021-04-12 or 2017-11-08-preview. What is answered
// has the forms of the last version that Microsoft's SDKs send, which readers of the
// others understand too; so a date that is nobody's version is as good.
func CheckAPIVersion(v string) error {
	if v == "" {
		return Errorf(InvalidProtocolVersion, "request", iot.Identity{}, "the query has no api-version, such as api-version=2021-04-12")
	}
	date := strings.TrimSuffix(v, "-preview")
	if _, err := time.Parse(time.DateOnly, date); err != nil || date < "2015" {
		return Errorf(InvalidProtocolVersion, "request", iot.Identity{}, "api-version %.50q is not known; 2021-04-12 is", v)
	}
	return nil
}
