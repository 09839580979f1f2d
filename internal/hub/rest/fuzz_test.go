package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// Whatever is asked, the answer has a status and a form that SDKs know, and
// nothing is registered under an id that could not be.
func FuzzRequests(f *testing.F) {
	h := newHub(f)
	owner := h.token(f, storage.OwnerPolicy)
	f.Add("PUT", "/devices/d", `{"deviceId":"d"}`, "")
	f.Add("PUT", "/devices/d/modules/m", `{"deviceId":"d","moduleId":"m"}`, `"*"`)
	f.Add("GET", "/devices/d/modules/$edgeHub/deviceAndModuleInDeviceScope", "", "")
	f.Add("POST", "/devices", `[{"id":"a","importMode":"create"},{"id":"a","importMode":"deleteIfMatchETag","etag":"x"}]`, "")
	f.Add("DELETE", "/devices/%2e%2e/", "", `W/"x`)
	f.Add("PUT", "/twins/there", `{"tags":{"a":1},"properties":{"desired":{"b":[1]}}}`, `"AAAAAAAAAAE="`)
	f.Add("PATCH", "/twins/site/modules/$edgeHub", `{"properties":{"desired":{"b":null}}}`, "*")
	f.Add("POST", "/twins/there/methods", `{"methodName":"m","payload":{"a":1},"responseTimeoutInSeconds":5}`, "")
	f.Add("POST", "/devices/query", `{"query":"SELECT tags.a AS b, COUNT() AS n FROM devices WHERE tags.a IN [1,'x'] GROUP BY tags.a"}`, "")
	f.Add("POST", "/messages/deviceBound", `{"iothub-to":"/devices/there/messages/devicebound"}`, "")
	f.Add("PUT", "/configurations/c", `{"id":"c","content":{"deviceContent":{"properties.desired.a":1}},"targetCondition":"tags.a = 1","metrics":{"queries":{"n":"SELECT * FROM devices"}}}`, "*")
	f.Add("POST", "/configurations/testQueries", `{"targetCondition":"*","customMetricQueries":{"a":"b"}}`, "")
	f.Add("POST", "/devices/site/applyConfigurationContent", `{"modulesContent":{"m":{"properties.desired":{"a":{}},"properties.desired.a.b":1}}}`, "")
	f.Add("PUT", "/jobs/v2/j", `{"jobId":"j","type":"scheduleUpdateTwin","updateTwin":{"tags":{}},"queryCondition":"*","startTime":"2027-01-01T00:00:00Z"}`, "")
	f.Add("POST", "/jobs/v2/j/cancel", "", "")
	f.Fuzz(func(t *testing.T, method, path, body, ifMatch string) {
		u, err := url.Parse("https://" + hubName + path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		h.restore(t)
		u.RawQuery = "api-version=2021-04-12"
		r := &http.Request{Method: method, URL: u, Host: hubName, Header: http.Header{"Authorization": {owner}, "If-Match": {ifMatch}},
			Body: http.NoBody, ProtoMajor: 1, ProtoMinor: 1}
		r.Body = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)).Body
		w := httptest.NewRecorder()
		h.log.Reset()
		h.ServeHTTP(w, r.WithContext(t.Context()))
		checkAnswer(t, w)
		for _, e := range h.registry.Devices("", 10) {
			if err := e.Identity.Validate(); err != nil {
				t.Fatalf("%+v is registered: %v", e.Identity, err)
			}
			if err := h.registry.Delete(e.Identity, storage.Any); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// restore makes the identities that the seeds are about.
func (h *testHub) restore(t *testing.T) {
	t.Helper()
	var there, site storage.Entry
	there.Identity, there.Enabled = iot.DeviceIdentity("there"), true
	site.Identity, site.Enabled, site.Edge = iot.DeviceIdentity("site"), true, true
	if _, err := h.registry.Create(there, site); err != nil {
		t.Fatal(err)
	}
}

func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	switch {
	case w.Code == 200 && json.Valid(w.Body.Bytes()):
	case w.Code == 204 && w.Body.Len() == 0:
	case w.Code >= 400 && w.Code < 500:
		var e struct {
			Message      string
			IsSuccessful *bool
		}
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || !strings.HasPrefix(e.Message, "ErrorCode:") && e.IsSuccessful == nil {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
	default:
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
}

func BenchmarkGetDevice(b *testing.B) {
	h := newHub(b)
	create(b, h, 1)
	measure(b, h, h.token(b, storage.ReadPolicy), "/devices/d0")
}

// A thousand identities, as an operator's list or a gateway's scope has them.
func BenchmarkListThousandDevices(b *testing.B) {
	h := newHub(b)
	create(b, h, maxList)
	measure(b, h, h.token(b, storage.ReadPolicy), "/devices")
}

func create(b *testing.B, h *testHub, n int) {
	entries := make([]storage.Entry, n)
	for i := range entries {
		entries[i].Identity, entries[i].Enabled = iot.DeviceIdentity(fmt.Sprint("d", i)), true
	}
	if _, err := h.registry.Create(entries...); err != nil {
		b.Fatal(err)
	}
}

func measure(b *testing.B, h *testHub, token, path string) {
	r := httptest.NewRequest(http.MethodGet, "https://"+hubName+path+"?api-version=2021-04-12", nil)
	r.Header.Set("Authorization", token)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Code)
		}
		b.SetBytes(int64(w.Body.Len()))
	}
}
