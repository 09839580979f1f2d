package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"sluice/internal/sas"
	"sluice/iot"
)

// maxAnswer bounds an answer, in bytes: a thousand identities take about one
// million.
const maxAnswer = 16 << 20

// Tries of one request, and the pauses between them: doubled each time, and made
// up to a half longer by chance. A hub that names a time is given it, if it is at
// most maxPause.
const (
	tries      = 4
	firstPause = 250 * time.Millisecond
	maxPause   = 5 * time.Second
)

// A request is one operation on an identity.
type request struct {
	op       string // for errors: "create"
	id       iot.Identity
	method   string
	path     string // escaped
	query    url.Values
	ifMatch  string // "": none
	header   http.Header
	in, out  any
	timeout  time.Duration // for each try, if it is longer than the client's
	response http.Header   // set by do
}

// do sends a request, again if that is safe and may help, and decodes the answer
// into r.out.
func (c *Client) do(ctx context.Context, r *request) error {
	var body []byte
	if r.in != nil {
		var err error
		if body, err = json.Marshal(r.in); err != nil {
			return fmt.Errorf("%s: %w", r.op, err)
		}
	}
	pause := firstPause
	for try := 1; ; try++ {
		err := c.try(ctx, r, body)
		wait, again := retry(r.method, err, pause)
		if !again || try == tries {
			return err
		}
		if c.pause(ctx, wait) != nil {
			return err
		}
		pause *= 2
	}
}

func (c *Client) try(ctx context.Context, r *request, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, max(c.timeout, r.timeout))
	defer cancel()
	req, err := c.newRequest(ctx, r, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.broken(r, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end, or given up
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return c.broken(r, err)
	case len(answer) > maxAnswer:
		return iot.Errorf(iot.TooLarge, r.op, r.id, "the hub's answer is larger than %d bytes", maxAnswer)
	case resp.StatusCode >= 300:
		return refusal(r, resp, answer)
	}
	r.response = resp.Header
	if r.out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, r.out); err != nil {
		return fmt.Errorf("%s: the answer of %s is not what a hub sends: %w", r.op, c.host, err)
	}
	return nil
}

func (c *Client) newRequest(ctx context.Context, r *request, body []byte) (*http.Request, error) {
	token, err := sas.Sign(c.creds.Key, sas.Resource{Host: c.host}, c.creds.PolicyName, time.Now().Add(tokenLife))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.op, err)
	}
	q := url.Values{"api-version": {apiVersion}}
	for key, values := range r.query {
		q[key] = values
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path+"?"+q.Encode(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.op, err)
	}
	for key, values := range r.header {
		req.Header[key] = values
	}
	req.Header.Set("Authorization", token)
	req.Header.Set("Accept", "application/json")
	if body != nil && r.header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if r.ifMatch != "" {
		req.Header.Set("If-Match", `"`+r.ifMatch+`"`)
	}
	return req, nil
}

// broken is the error of a request that got no answer. The address is said, the
// URL is noise.
func (c *Client) broken(r *request, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("%s: hub %s: %w", r.op, c.host, err)
}

// retry reports whether a request should be sent again, and after what pause. An
// answer of "too busy" says that nothing was done; a connection that broke does
// not say so, and only a read is repeated then.
func retry(method string, err error, pause time.Duration) (time.Duration, bool) {
	wait := pause + rand.N(pause/2)
	var r *Refusal
	if errors.As(err, &r) {
		if r.RetryAfter > maxPause {
			return 0, false
		}
		busy := r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable
		return max(wait, r.RetryAfter), busy
	}
	return wait, method == http.MethodGet && brokeOff(err)
}

// brokeOff reports whether a connection that had been made was lost.
func brokeOff(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// retryAfter reads the header of that name, in seconds; Azure sends no dates.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
