package upstream

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/hub/code"
	"sluice/iot"
)

func TestFilesAreAskedForOverHTTPS(t *testing.T) {
	h := startHub(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the test's own
		asked := fmt.Sprintf("%s %s by %s: %s", r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), body)
		switch asked {
		case `POST /devices/d%231/files?api-version=2021-04-12 by token: {"blobName":"a b"}`:
			fmt.Fprint(w, `{"correlationId":"7","hostName":"h","containerName":"c","blobName":"d#1/a b","sasToken":"?s"}`)
		case `POST /devices/d%231/files/notifications?api-version=2021-04-12 by token: {"correlationId":"7","isSuccess":true,"statusCode":201,"statusDescription":"fine"}`:
			w.WriteHeader(http.StatusNoContent)
		case `POST /devices/d%231/files?api-version=2021-04-12 by token: {"blobName":"many"}`:
			w.Header().Set("iothub-errorcode", "DeviceMaximumActiveFileUploadLimitExceeded")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"Message":"ErrorCode:DeviceMaximumActiveFileUploadLimitExceeded;ten are too many","ExceptionMessage":""}`)
		case `POST /devices/d%231/files?api-version=2021-04-12 by token: {"blobName":"odd"}`:
			fmt.Fprint(w, `{"sasToken":"?secret"`)
		case `POST /devices/d%231/files?api-version=2021-04-12 by token: {"blobName":"large"}`:
			fmt.Fprint(w, strings.Repeat(" ", maxUpload+1))
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, asked)
		}
	}))
	client := h.client(t, nil)
	creds := iot.Credentials{Identity: iot.DeviceIdentity("d#1"), Token: "token"}
	got, err := client.BeginUpload(t.Context(), creds, "a b")
	if want := (iot.Upload{ID: "7", Host: "h", Container: "c", Blob: "d#1/a b", Token: "?s"}); got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if err := client.EndUpload(t.Context(), creds, iot.UploadResult{ID: "7", Success: true, Status: 201, Description: "fine"}); err != nil {
		t.Error(err)
	}
	_, err = client.BeginUpload(t.Context(), creds, "many")
	if code.Of(err) != code.TooManyUploads || !strings.Contains(err.Error(), "ten are too many") {
		t.Errorf("a refusal: %v", err)
	}
	for _, name := range []string{"odd", "large", "away"} {
		_, err := client.BeginUpload(t.Context(), creds, name)
		if iot.KindOf(err) != iot.Unavailable || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
