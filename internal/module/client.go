package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ErrNoDeployment is the answer of a gateway that runs no modules.
var ErrNoDeployment = errors.New("the gateway runs no modules")

// A Client is the operator of a running gateway's modules. Its methods may be
// called from any goroutine.
type Client struct{ http http.Client }

// NewClient makes the client of a gateway that serves [Runtime.Handler] below /v1 at
// this Unix socket. The first request shows whether it does.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// List returns the modules of the deployment, by name.
func (c *Client) List(ctx context.Context) ([]Details, error) {
	var answer struct {
		Modules []Details `json:"modules"`
	}
	text, err := c.do(ctx, http.MethodGet, "/modules")
	if err != nil {
		return nil, err
	}
	defer text.Close() //nolint:errcheck // was only read
	if err := json.NewDecoder(text).Decode(&answer); err != nil {
		return nil, fmt.Errorf("the gateway's answer: %w", err)
	}
	return answer.Modules, nil
}

// Restart ends a module and starts it again, and returns when it has.
func (c *Client) Restart(ctx context.Context, name string) error {
	text, err := c.do(ctx, http.MethodPost, "/modules/"+url.PathEscape(name)+"/restart")
	if err != nil {
		return err
	}
	return text.Close()
}

// Logs copies what a module wrote to out, with times if they are wanted, until there
// is no more or ctx ends.
func (c *Client) Logs(ctx context.Context, name string, q LogQuery, times bool, out io.Writer) error {
	v := url.Values{}
	if q.Tail >= 0 {
		v.Set("tail", strconv.Itoa(q.Tail))
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	v.Set("follow", strconv.FormatBool(q.Follow))
	v.Set("timestamps", strconv.FormatBool(times))
	text, err := c.do(ctx, http.MethodGet, "/modules/"+url.PathEscape(name)+"/logs?"+v.Encode())
	if err != nil {
		return err
	}
	defer text.Close() //nolint:errcheck // was only read
	_, err = io.Copy(out, text)
	return err
}

// do returns the body of an answer that is no error.
func (c *Client) do(ctx context.Context, method, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway/v1"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the URL says nothing
		}
		return nil, err
	}
	if answer.StatusCode < 300 {
		return answer.Body, nil
	}
	defer answer.Body.Close() //nolint:errcheck // was only read
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	var no struct {
		Message string `json:"message"`
	}
	if err == nil && json.Unmarshal(text, &no) == nil && no.Message != "" {
		return nil, errors.New(no.Message)
	}
	if answer.StatusCode == http.StatusNotFound {
		return nil, ErrNoDeployment
	}
	return nil, fmt.Errorf("the gateway answers %s: %s", answer.Status, bytes.TrimSpace(text))
}
