package workload

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// maxBody is the largest request, in bytes. The largest honest ones are backups
// that a module wants encrypted.
const maxBody = 4 << 20

// A refusal is an answer other than success. Its text goes to the module: it never
// tells more than that module may know.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// The refusals that have one text.
var (
	errNotFound  = &refusal{http.StatusNotFound, "not found"}
	errMethod    = &refusal{http.StatusBadRequest, "method not allowed"}
	errForbidden = &refusal{http.StatusForbidden, "forbidden"}
)

// A call is a request by its path: /modules/{module}/genid/{generation}/{op}, or
// without a generation, or the op alone.
type call struct{ module, generation, op string }

// parseCall reads the path. Each segment is decoded once, so that an escaped slash
// is part of a name, and no module has such a name.
func parseCall(u *url.URL) (call, error) {
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i, p := range parts {
		var err error
		if parts[i], err = url.PathUnescape(p); err != nil {
			return call{}, errNotFound
		}
	}
	switch {
	case len(parts) == 1:
		return call{op: parts[0]}, nil
	case len(parts) >= 5 && parts[0] == "modules" && parts[2] == "genid":
		return call{module: parts[1], generation: parts[3], op: strings.Join(parts[4:], "/")}, nil
	case len(parts) >= 3 && parts[0] == "modules" && parts[2] != "genid":
		return call{module: parts[1], op: "module/" + strings.Join(parts[2:], "/")}, nil
	}
	return call{}, errNotFound
}

func checkVersion(query url.Values) error {
	switch v := query.Get("api-version"); {
	case v == "":
		return refuse(http.StatusBadRequest, "api-version not specified")
	case !versions[v]:
		return refuse(http.StatusBadRequest, "invalid api-version %q", v)
	}
	return nil
}

// readJSON reads the body of a request into v. A body that is no JSON by its type
// is as good as none.
func readJSON(r *http.Request, v any) error {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != "application/json" {
			return refuse(http.StatusBadRequest, "missing parameter: request body")
		}
	}
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(http.StatusRequestEntityTooLarge, "the request has more than %d bytes", maxBody)
	case err != nil:
		return refuse(http.StatusRequestTimeout, "the request was not received whole")
	case len(text) == 0:
		return refuse(http.StatusBadRequest, "missing parameter: request body")
	}
	if err := json.Unmarshal(text, v); err != nil {
		return refuse(http.StatusUnprocessableEntity, "%v", err)
	}
	return nil
}

// binary is bytes as JSON has them in this API: base64 of the standard alphabet,
// padded.
func binary(name string, text *string) ([]byte, error) {
	if text == nil {
		return nil, refuse(http.StatusUnprocessableEntity, "missing field `%s`", name)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(*text)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "invalid parameter: %s: %v", name, err)
	}
	return b, nil
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the module has gone, then
}
