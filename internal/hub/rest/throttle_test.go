package rest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/internal/hub/throttle"
)

func TestApplicationsAreThrottled(t *testing.T) {
	h := newHub(t)
	var err error
	if h.Handler.(*api).Throttle, err = throttle.New("S1", func() time.Time { return begin }); err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path+"?api-version=2021-04-12", strings.NewReader(body))
		r.Header.Set("Authorization", h.token(t, "iothubowner"))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const query = `{"query":"SELECT * FROM devices"}`
	for n := range 20 {
		if w := ask(http.MethodPost, "/devices/query", query); w.Code != http.StatusOK {
			t.Fatalf("query %d: %d %s", n, w.Code, w.Body)
		}
	}
	w := ask(http.MethodPost, "/devices/query", query)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "3" || w.Header().Get("iothub-errorcode") != "ThrottlingException" ||
		!strings.Contains(w.Body.String(), "ErrorCode:ThrottlingException;") {
		t.Errorf("one too many: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := ask(http.MethodGet, "/devices", ""); w.Code != http.StatusOK {
		t.Errorf("another operation: %d", w.Code)
	}
}

// A route that is new has a rate, or is free on purpose.
func TestEveryRouteHasItsRate(t *testing.T) {
	routes := newHub(t).Handler.(*api).routes
	for i := range routes {
		rt := &routes[i]
		free := rt.callers == ownEdgeHub || rt.stream != nil || strings.HasPrefix(rt.path, "/messages")
		if op := operationOf(rt); (op == throttle.Free) != free {
			t.Errorf("%s %s is operation %d", rt.method, rt.path, op)
		}
	}
	for path, want := range map[string]throttle.Operation{
		"/devices/query": throttle.Query, "/devices": throttle.Registry, "/twins/{device}/methods": throttle.Method,
		"/digitaltwins/{device}/components/{component}/commands/{command}": throttle.Method, "/devices/{device}/commands": throttle.Command,
		"/twins/{device}": throttle.TwinUpdate, "/jobs/v2/{job}": throttle.Job, "/configurations/{id}": throttle.Configuration,
	} {
		if got := operationOf(&route{method: http.MethodPost, path: path}); got != want {
			t.Errorf("%s is operation %d, want %d", path, got, want)
		}
	}
}
