package rest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// A call is one request on its way through its handler.
type call struct {
	*api
	w    http.ResponseWriter
	r    *http.Request
	vars map[string]string // what the route's braces stand for, unescaped
}

// An answer is what a handler has to say when all went well.
type answer struct {
	status int    // 0: 200, or 204 without a body
	etag   string // without quotes
	body   any    // marshalled to JSON; nil for none
	header http.Header
}

// identity is the device or module that the path names.
func (c *call) identity() (iot.Identity, error) {
	id := iot.Identity{Device: c.vars["device"], Module: c.vars["module"]}
	if err := id.Validate(); err != nil {
		return id, code.Errorf(code.ArgumentInvalid, "request", iot.Identity{}, "%v", err)
	}
	return id, nil
}

// read decodes the body, which is JSON of at most limit bytes.
func (c *call) read(limit int64, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return code.Errorf(code.MessageTooLarge, "request", iot.Identity{}, "the body is larger than %d bytes", limit)
	case err != nil:
		return code.Errorf(code.FormatError, "request", iot.Identity{}, "the body ended early")
	case len(bytes.TrimSpace(body)) == 0:
		return code.Errorf(code.ArgumentNull, "request", iot.Identity{}, "the body is empty")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return code.Errorf(code.FormatError, "request", iot.Identity{}, "the body is not the JSON that it should be: %s", complaint(err))
	}
	return nil
}

// complaint is an error of the JSON decoder without the names of our types.
func complaint(err error) string {
	var wrong *json.UnmarshalTypeError
	switch {
	case !errors.As(err, &wrong):
		return err.Error()
	case wrong.Field == "":
		return "it is, or has in it, a JSON " + wrong.Value + " where something else belongs"
	}
	return fmt.Sprintf("%s is a JSON %s", wrong.Field, wrong.Value)
}

// ifMatch is the entity tag that the caller wants to change, without its quotes,
// and whether one was given. Entity tags of the hub are strong, but SDKs may
// write them as weak ones.
func (c *call) ifMatch() (etag string, ok bool) {
	h := strings.TrimSpace(c.r.Header.Get("If-Match"))
	h = strings.TrimPrefix(h, "W/")
	if len(h) >= 2 && h[0] == '"' && h[len(h)-1] == '"' {
		h = h[1 : len(h)-1]
	}
	return h, h != ""
}

func (c *call) reply(a answer) {
	var body []byte
	if a.body != nil {
		var err error
		if body, err = json.Marshal(a.body); err != nil {
			c.fail(fmt.Errorf("write answer: %w", err))
			return
		}
	}
	for name, values := range a.header {
		c.w.Header()[name] = values
	}
	if a.etag != "" {
		c.w.Header().Set("ETag", `"`+a.etag+`"`)
	}
	switch {
	case a.status == 0 && a.body == nil:
		a.status = http.StatusNoContent
	case a.status == 0:
		a.status = http.StatusOK
	}
	c.send(a.status, body)
}

// send writes the end of every answer. An error is the client's: it has gone.
func (c *call) send(status int, body []byte) {
	if body != nil {
		c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	// Keys are in the answers.
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
}

// fail answers err and logs it, with a tracking id in both places.
func (c *call) fail(err error) {
	what := code.Of(err)
	tracking := newTrackingID()
	c.log(what, tracking, err)
	c.w.Header().Set("Iothub-Errorcode", what.String())
	if what == code.Throttling && c.w.Header().Get("Retry-After") == "" {
		c.w.Header().Set("Retry-After", "5")
	}
	body, _ := json.Marshal(struct{ Message, ExceptionMessage string }{ // two strings always marshal
		Message:          "ErrorCode:" + what.String() + ";" + publicText(what, err),
		ExceptionMessage: "Tracking ID:" + tracking + "-TimeStamp:" + c.Now().UTC().Format("01/02/2006 15:04:05"),
	})
	c.send(what.Status(), body)
}

func (c *call) log(what code.Code, tracking string, err error) {
	level := slog.LevelDebug
	switch {
	case what.Status() >= 500:
		level = slog.LevelError
	case what.Status() == http.StatusUnauthorized:
		level = slog.LevelInfo
	}
	c.Log.Log(c.r.Context(), level, "rest: request refused", "method", c.r.Method, "path", c.r.URL.Path,
		"remote", c.r.RemoteAddr, "code", int(what), "tracking", tracking, "err", err)
}

// publicText is what the caller learns of err. Of a failed proof it learns
// nothing, of our own failures only that they are ours. SDKs read the text up to
// the next semicolon.
func publicText(what code.Code, err error) string {
	var e *iot.Error
	switch {
	case what.Status() >= 500 && what != code.GatewayTimeout: // which is a device's
		return "the hub could not do it; its log says why, under the tracking id"
	case !errors.As(err, &e) || e.Detail == "" || what == code.Unauthorized && !errors.As(err, new(lacksRight)):
		return http.StatusText(what.Status())
	}
	return strings.ReplaceAll(e.Detail, ";", ",")
}

func newTrackingID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
