package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// filesAPIVersion is what devices use.
const filesAPIVersion = "2021-04-12"

// maxUpload bounds an answer about a file, in bytes.
const maxUpload = 64 << 10

var _ iot.Files = (*Hub)(nil)

// BeginUpload asks where a file of a device goes.
func (h *Hub) BeginUpload(ctx context.Context, creds iot.Credentials, name string) (iot.Upload, error) {
	var answer struct {
		ID        string     `json:"correlationId"`
		Host      string     `json:"hostName"`
		Container string     `json:"containerName"`
		Blob      string     `json:"blobName"`
		Token     iot.Secret `json:"sasToken"`
	}
	err := h.askFiles(ctx, creds, "", map[string]string{"blobName": name}, &answer)
	return iot.Upload(answer), err
}

// EndUpload says how an upload of a device ended.
func (h *Hub) EndUpload(ctx context.Context, creds iot.Credentials, result iot.UploadResult) error {
	return h.askFiles(ctx, creds, "/notifications", struct {
		ID          string `json:"correlationId"`
		Success     bool   `json:"isSuccess"`
		Status      int    `json:"statusCode"`
		Description string `json:"statusDescription"`
	}(result), nil)
}

// askFiles posts a question about files of a device, and reads the answer, if one is
// wanted. An error has the hub's own code.
func (h *Hub) askFiles(ctx context.Context, creds iot.Credentials, below string, question, answer any) error {
	id := creds.Identity
	path := "/devices/" + url.PathEscape(id.Device) + "/files" + below + "?api-version=" + filesAPIVersion
	req, err := h.request(ctx, creds, http.MethodPost, path, question)
	if err != nil {
		return fmt.Errorf("files: %w", err)
	}
	resp, err := h.http.Do(req)
	if err != nil {
		return unreachable("files", id, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end, or given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxUpload+1))
	switch {
	case err == nil && len(body) > maxUpload:
		return unreachable("files", id, errors.New("the answer is too large to be a hub's"))
	case err != nil:
		return unreachable("files", id, err)
	case resp.StatusCode/100 != 2:
		return refused(id, resp, body)
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return unreachable("files", id, errors.New("the answer is not what a hub sends")) // its text may have a signature in it
	}
	return nil
}

// refused is a refusal of the hub, with its code and its words.
func refused(id iot.Identity, resp *http.Response, body []byte) error {
	text := reason(body)
	if _, rest, ok := strings.Cut(text, ";"); ok && strings.HasPrefix(text, "ErrorCode:") {
		text = rest
	}
	what, ok := code.Parse(resp.Header.Get("iothub-errorcode"))
	if !ok {
		return iot.Errorf(iot.KindFromHTTP(resp.StatusCode), "files", id, "the hub answered %s: %s", resp.Status, text)
	}
	return code.Errorf(what, "files", id, "%s", text)
}
