package webhead

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// A call is one request on its way through its handler.
type call struct {
	*Head
	w       http.ResponseWriter
	r       *http.Request
	vars    vars
	id      iot.Identity // who calls; zero for nobody
	session *session     // of id; nil for nobody
}

// An answer is what a handler has to say when all went well. The zero value is 204;
// taken says that nothing more is to be said.
type answer struct {
	status      int
	contentType string
	header      http.Header // written as it stands
	body        []byte
	taken       bool
	failed      func() // called if the answer could not be written; may be nil
}

// ServeHTTP implements http.Handler.
func (h *Head) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Head: h, w: w, r: r}
	a, err := c.serve()
	switch {
	case err != nil:
		c.fail(err)
	case !a.taken:
		c.reply(a)
	}
}

func (c *call) serve() (answer, error) {
	rt, err := c.find(c)
	if err != nil {
		return answer{}, err
	}
	leave, err := c.admit(rt)
	if err != nil {
		return answer{}, err
	}
	defer leave()
	return rt.handle(c)
}

// operate is the context of what the hub is asked to do.
func (c *call) operate() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.r.Context(), c.opt.OperationTimeout)
}

func (c *call) reply(a answer) {
	header := c.w.Header()
	for name, values := range a.header {
		header[name] = values
	}
	if a.status == 0 {
		a.status = http.StatusNoContent
	}
	if a.contentType != "" {
		header.Set("Content-Type", a.contentType)
	}
	if err := c.send(a.status, a.body); err != nil && a.failed != nil {
		a.failed()
	}
}

// send writes the end of every answer. An error is the client's: it has gone.
func (c *call) send(status int, body []byte) error {
	c.w.Header().Set("Cache-Control", "no-store")
	if status != http.StatusNoContent {
		c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.w.WriteHeader(status)
	if len(body) > 0 {
		if _, err := c.w.Write(body); err != nil {
			return err
		}
	}
	return http.NewResponseController(c.w).Flush()
}

// fail answers err and logs it, with a tracking id in both places.
func (c *call) fail(err error) {
	what := code.Of(err)
	tracking := newTrackingID()
	c.logRefusal(what, tracking, err)
	header := c.w.Header()
	header.Set("Iothub-Errorcode", what.String())
	header.Set("Content-Type", "application/json; charset=utf-8")
	if what.Status() == http.StatusTooManyRequests || what.Status() == http.StatusServiceUnavailable {
		header.Set("Retry-After", "5")
	}
	body, _ := json.Marshal(struct{ Message, ExceptionMessage string }{ // two strings always marshal
		Message:          "ErrorCode:" + what.String() + ";" + publicText(what, err),
		ExceptionMessage: "Tracking ID:" + tracking + "-TimeStamp:" + time.Now().UTC().Format("01/02/2006 15:04:05"),
	})
	_ = c.send(statusOf(what, err), body) // the client has gone
}

// statusOf is the status of an error, which for a WebSocket that is refused is not
// among IoT Hub's.
func statusOf(what code.Code, err error) int {
	var e *statusError
	if errors.As(err, &e) {
		return e.status
	}
	return what.Status()
}

// A statusError has a status of HTTP of its own.
type statusError struct {
	code.Code
	status int
}

func (e *statusError) Unwrap() error { return e.Code }

func (c *call) logRefusal(what code.Code, tracking string, err error) {
	level := slog.LevelDebug
	switch {
	case what == code.ServerError:
		level = slog.LevelError
	case what.Status() == http.StatusUnauthorized, what.Status() >= 500:
		level = slog.LevelInfo
	}
	c.log.Log(c.r.Context(), level, "webhead: request refused", "method", c.r.Method, "path", c.r.URL.Path,
		"remote", c.r.RemoteAddr, "code", int(what), "tracking", tracking, "err", err)
}

// publicText is what the client learns of err. Of a failed proof it learns nothing,
// of the hub's own failures only that they are the hub's. SDKs read the text up to the
// next semicolon.
func publicText(what code.Code, err error) string {
	var e *iot.Error
	switch {
	case what.Status() >= 500 && what != code.GatewayTimeout:
		return "the hub could not do it, its log says why under the tracking id"
	case what == code.Unauthorized || !errors.As(err, &e) || e.Detail == "":
		return http.StatusText(what.Status())
	}
	return strings.ReplaceAll(e.Detail, ";", ",")
}

func newTrackingID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
