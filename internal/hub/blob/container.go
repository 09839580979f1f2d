package blob

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Container is a container in a blob store, and what allows its use.
type Container struct {
	address *url.URL // the query is the signature
	client  *http.Client
}

// Open returns the container with this address, which brings its signature as its
// query. It does not connect. A nil client is http.DefaultClient.
func Open(address string, client *http.Client) (*Container, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL") // the parser's words would repeat the signature
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, errors.New("it is not an address of HTTPS")
	case strings.Trim(u.Path, "/") == "":
		return nil, errors.New("it names no container")
	}
	if client == nil {
		client = http.DefaultClient
	}
	u.Path, u.RawPath, u.Fragment = strings.TrimSuffix(u.Path, "/"), "", ""
	return &Container{u, client}, nil
}

// Container is a container of the account, to be used for an hour at most.
func (a Account) Container(name string, now time.Time, client *http.Client) *Container {
	u := *a.Endpoint
	u.Path += "/" + name
	u.RawQuery = a.signAccount(now.Add(time.Hour))
	if client == nil {
		client = http.DefaultClient
	}
	return &Container{&u, client}
}

// Error is a refusal of the blob store.
type Error struct {
	Status int
	Code   string // the store's own, such as BlobNotFound; may be empty
}

func (e *Error) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the blob store answered %d %s", e.Status, e.Code))
}

// IsNotFound reports whether there is no such blob or container.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// Create makes the container, if there is none.
func (c *Container) Create(ctx context.Context) error {
	resp, err := c.do(ctx, http.MethodPut, "", url.Values{"restype": {"container"}}, nil, nil)
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusConflict {
		return nil
	}
	return finish(resp, err)
}

// Facts are what the store says of a blob.
type Facts struct {
	Size     int64 // bytes
	Modified time.Time
}

// Stat asks what is known of a blob.
func (c *Container) Stat(ctx context.Context, blob string) (Facts, error) {
	resp, err := c.do(ctx, http.MethodHead, blob, nil, nil, nil)
	if err := finish(resp, err); err != nil {
		return Facts{}, err
	}
	modified, err := http.ParseTime(resp.Header.Get("Last-Modified"))
	if err != nil || resp.ContentLength < 0 {
		return Facts{}, errors.New("the blob store does not say how large the blob is, and since when")
	}
	return Facts{resp.ContentLength, modified}, nil
}

// Read opens a blob for reading. It must be closed.
func (c *Container) Read(ctx context.Context, blob string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, blob, nil, nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Delete removes a blob, if it is there.
func (c *Container) Delete(ctx context.Context, blob string) error {
	resp, err := c.do(ctx, http.MethodDelete, blob, nil, nil, nil)
	if err = finish(resp, err); IsNotFound(err) {
		return nil
	}
	return err
}

// do sends a request. An answer that is not a success is an [*Error].
func (c *Container) do(ctx context.Context, method, blob string, query url.Values, header http.Header, body []byte) (*http.Response, error) {
	u := *c.address
	if blob != "" {
		u.Path += "/" + blob
	}
	if len(query) > 0 {
		u.RawQuery = strings.Trim(u.RawQuery+"&"+query.Encode(), "&")
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("x-ms-version", version)
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, withoutQuery(err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close() //nolint:errcheck // read as far as it is of use
		return nil, refusal(resp)
	}
	return resp, nil
}

// withoutQuery takes the address, with the signature in it, out of an error.
func withoutQuery(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return fmt.Errorf("blob store: %w", e.Err)
	}
	return err
}

// maxRefusal bounds what is read of a refusal, in bytes.
const maxRefusal = 16 << 10

func refusal(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, Code: resp.Header.Get("x-ms-error-code")}
	if e.Code == "" {
		var body struct {
			Code string `xml:"Code"`
		}
		_ = xml.NewDecoder(io.LimitReader(resp.Body, maxRefusal)).Decode(&body) // a proxy answered
		e.Code = body.Code
	}
	if len(e.Code) > 64 {
		e.Code = ""
	}
	return e
}

// finish reads an answer of which the body does not matter to its end.
func finish(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxRefusal))
	return errors.Join(err, resp.Body.Close())
}
