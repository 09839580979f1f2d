package moduleclient

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sluice/internal/sas"
)

// A signer makes HMAC-SHA256 signatures with the module's key.
type signer func(ctx context.Context, data []byte) ([]byte, error)

// signWith signs with a key that is at hand.
func signWith(env Environment) (signer, error) {
	key, err := sas.DecodeKey(env.Key)
	if err != nil {
		return nil, fmt.Errorf("moduleclient: %w", err)
	}
	return func(_ context.Context, data []byte) ([]byte, error) {
		mac := hmac.New(sha256.New, key)
		mac.Write(data)
		return mac.Sum(nil), nil
	}, nil
}

// A workloadAPI is the client of the workload API.
type workloadAPI struct {
	env  Environment
	base string
	http *http.Client
}

const (
	// workloadTimeout bounds one question.
	workloadTimeout = 30 * time.Second
	// workloadConns stays below the ten connections that IoT Edge takes from one
	// user.
	workloadConns = 4
	// maxAnswer bounds what is read of an answer. A trust bundle is the largest.
	maxAnswer = 4 << 20
)

func newWorkloadAPI(env Environment) (*workloadAPI, error) {
	u, err := url.Parse(env.Workload)
	if err != nil {
		return nil, fmt.Errorf("moduleclient: %s: %w", workloadVariable, err)
	}
	transport := &http.Transport{MaxConnsPerHost: workloadConns, MaxIdleConnsPerHost: workloadConns, IdleConnTimeout: time.Minute}
	api := &workloadAPI{env: env, http: &http.Client{Transport: transport, Timeout: workloadTimeout}}
	switch u.Scheme {
	case "unix":
		path := u.Host + u.Path
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		api.base = "http://workload"
	case "http":
		api.base = strings.TrimRight(env.Workload, "/")
	default:
		return nil, fmt.Errorf("moduleclient: %s is %.100q, which is neither unix:// nor http://", workloadVariable, env.Workload)
	}
	return api, nil
}

// sign has data signed with the module's key.
func (w *workloadAPI) sign(ctx context.Context, data []byte) ([]byte, error) {
	request := struct {
		KeyID string `json:"keyId"`
		Algo  string `json:"algo"`
		Data  []byte `json:"data"`
	}{"primary", "HMACSHA256", data}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Digest []byte `json:"digest"`
	}
	path := "/modules/" + url.PathEscape(w.env.Identity.Module) + "/genid/" + url.PathEscape(w.env.Generation) + "/sign"
	if err := w.ask(ctx, http.MethodPost, path, body, &answer); err != nil {
		return nil, err
	}
	if len(answer.Digest) != sha256.Size {
		return nil, fmt.Errorf("workload API: sign: a digest of %d bytes", len(answer.Digest))
	}
	return answer.Digest, nil
}

// trustBundle is what the module is to trust, in PEM.
func (w *workloadAPI) trustBundle(ctx context.Context) ([]byte, error) {
	var answer struct {
		Certificate string `json:"certificate"`
	}
	err := w.ask(ctx, http.MethodGet, "/trust-bundle", nil, &answer)
	return []byte(answer.Certificate), err
}

// ask asks once. Whoever needs the answer asks again.
func (w *workloadAPI) ask(ctx context.Context, method, path string, body []byte, answer any) error {
	r, err := http.NewRequestWithContext(ctx, method, w.base+path+"?api-version="+url.QueryEscape(w.env.APIVersion), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("workload API: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := w.http.Do(r)
	if err != nil {
		return fmt.Errorf("workload API: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("workload API: %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("workload API: %s: %s: %.300s", path, response.Status, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("workload API: %s: %w", path, err)
	}
	return nil
}

func (w *workloadAPI) close() { w.http.CloseIdleConnections() }
