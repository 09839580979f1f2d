package operate

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

	"sluice/internal/gateway"
	"sluice/iot"
)

// A Client asks a running gateway. What the gateway refuses is an [iot.Error].
type Client struct{ http *http.Client }

// Dial makes a client of the gateway that has the data directory. The first request
// shows whether one runs: the error has a *net.OpError in it if none does.
func Dial(dataDir string) *Client {
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", Path(dataDir))
		},
	}}}
}

// Close ends the client.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks how the gateway is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.get(ctx, "status", nil, &s)
}

// Members asks whom the gateway serves.
func (c *Client) Members(ctx context.Context) (list []gateway.Member, err error) {
	return list, c.get(ctx, "members", nil, &list)
}

// Twin asks for a twin.
func (c *Client) Twin(ctx context.Context, id iot.Identity) (t gateway.TwinView, err error) {
	return t, c.get(ctx, "twin", url.Values{"id": {id.String()}}, &t)
}

// Override changes the desired properties that a device sees, for it alone; nil ends
// that.
func (c *Client) Override(ctx context.Context, id iot.Identity, patch json.RawMessage) error {
	return c.post(ctx, "override", url.Values{"id": {id.String()}}, patch, new(done))
}

// Invoke calls a direct method.
func (c *Client) Invoke(ctx context.Context, id iot.Identity, m iot.MethodCall) (r Result, err error) {
	return r, c.post(ctx, "method", url.Values{"id": {id.String()}}, call{
		Name: m.Name, Payload: m.Payload, ResponseTimeout: m.ResponseTimeout.Seconds(), ConnectTimeout: m.ConnectTimeout.Seconds(),
	}, &r)
}

// Command hands a command to a device, and returns how it settled it: completed,
// rejected or abandoned. It waits for at most timeout, which may be 5 minutes.
func (c *Client) Command(ctx context.Context, id iot.Identity, m iot.Message, timeout time.Duration) (outcome string, err error) {
	body := command{Body: m.Body, System: map[string]string{}, Properties: map[string]string{}, Timeout: timeout.Seconds()}
	for _, v := range m.System {
		body.System[v.Name.String()] = v.Value
	}
	for _, p := range m.Properties {
		body.Properties[p.Key] = p.Value
	}
	var s settled
	err = c.post(ctx, "command", url.Values{"id": {id.String()}}, body, &s)
	return s.Outcome, err
}

// Queues asks what waits.
func (c *Client) Queues(ctx context.Context) (list []gateway.QueueView, err error) {
	return list, c.get(ctx, "queues", nil, &list)
}

// Purge removes everything that waits in a queue.
func (c *Client) Purge(ctx context.Context, queue string) (messages uint64, err error) {
	var d done
	err = c.post(ctx, "purge", url.Values{"queue": {queue}}, nil, &d)
	return d.N, err
}

// DeadLetters asks for at most max dead letters with numbers above after, the oldest
// first. The gateway gives no more than 1,000 at once.
func (c *Client) DeadLetters(ctx context.Context, after uint64, max int) (list []DeadLetter, err error) {
	q := url.Values{"after": {strconv.FormatUint(after, 10)}, "max": {strconv.Itoa(max)}}
	return list, c.get(ctx, "dead", q, &list)
}

// DeadLetter asks for one.
func (c *Client) DeadLetter(ctx context.Context, seq uint64) (d DeadLetter, err error) {
	return d, c.get(ctx, "dead/"+strconv.FormatUint(seq, 10), nil, &d)
}

// Retry sends dead letters again. With an error, n may be above 0.
func (c *Client) Retry(ctx context.Context, seqs ...uint64) (n uint64, err error) {
	var d done
	if err := c.post(ctx, "dead/retry", nil, letters{seqs}, &d); err != nil {
		return 0, err
	}
	if d.Error != "" {
		err = errors.New(d.Error)
	}
	return d.N, err
}

// Drop removes dead letters for good: all of these, or none.
func (c *Client) Drop(ctx context.Context, seqs ...uint64) error {
	return c.post(ctx, "dead/drop", nil, letters{seqs}, new(done))
}

func (c *Client) get(ctx context.Context, path string, q url.Values, v any) error {
	return c.do(ctx, http.MethodGet, path, q, nil, v)
}

func (c *Client) post(ctx context.Context, path string, q url.Values, body, v any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("operate: %w", err)
	}
	return c.do(ctx, http.MethodPost, path, q, bytes.NewReader(text), v)
}

func (c *Client) do(ctx context.Context, method, path string, q url.Values, body io.Reader, v any) error {
	target := url.URL{Scheme: "http", Host: "gateway", Path: "/v1/" + path, RawQuery: q.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return fmt.Errorf("operate: %w", err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the address says nothing
		}
		return fmt.Errorf("operate: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	answer := json.NewDecoder(resp.Body)
	if resp.StatusCode != http.StatusOK {
		var f failure
		if answer.Decode(&f) != nil || f.Error == "" {
			f.Error = resp.Status
		}
		return &iot.Error{Kind: iot.KindFromHTTP(resp.StatusCode), Op: "gateway", Detail: f.Error}
	}
	if err := answer.Decode(v); err != nil {
		return fmt.Errorf("operate: what the gateway answered: %w", err)
	}
	return nil
}
