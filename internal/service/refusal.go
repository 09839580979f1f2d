package service

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// A Refusal is the answer of a hub that said no. It is the cause of an
// [iot.Error], whose detail is the hub's explanation.
type Refusal struct {
	Status     int    // of HTTP
	Code       string // the hub's, such as DeviceNotFound; "" if something else answered
	Tracking   string // what the hub's operator needs to find it
	RetryAfter time.Duration
}

// Error is the code and the status.
func (r *Refusal) Error() string {
	if r.Code == "" {
		return fmt.Sprintf("HTTP status %d", r.Status)
	}
	return fmt.Sprintf("%s (%d)", r.Code, r.Status)
}

// Is reports whether target is the [code.Code] that the hub answered with.
func (r *Refusal) Is(target error) bool {
	c, ok := target.(code.Code)
	return ok && c.String() == r.Code
}

// maxDetail bounds an explanation, in bytes.
const maxDetail = 300

// refusal makes the error of an answer.
func refusal(r *request, resp *http.Response, body []byte) error {
	cause := &Refusal{
		Status:     resp.StatusCode,
		Code:       resp.Header.Get("Iothub-Errorcode"),
		RetryAfter: retryAfter(resp.Header),
	}
	var answer struct{ Message, ExceptionMessage string }
	_ = json.Unmarshal(body, &answer) // not JSON: a proxy answered
	name, detail, _ := strings.Cut(answer.Message, ";")
	if name, ok := strings.CutPrefix(name, "ErrorCode:"); ok && cause.Code == "" {
		cause.Code = name
	}
	if i := strings.Index(answer.ExceptionMessage, "Tracking ID:"); i >= 0 {
		cause.Tracking = answer.ExceptionMessage[i+len("Tracking ID:"):]
	}
	if len(detail) > maxDetail {
		detail = detail[:maxDetail] + "…"
	}
	return &iot.Error{
		Kind: iot.KindFromHTTP(resp.StatusCode), Op: r.op, Identity: r.id,
		Detail: strings.ToValidUTF8(detail, "?"), Err: cause,
	}
}
