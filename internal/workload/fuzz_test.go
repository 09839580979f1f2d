package workload

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Whatever a module asks, it gets an answer in the API's form, and none but its own
// key signs.
func FuzzRequest(f *testing.F) {
	for _, op := range []string{"sign", "encrypt", "decrypt"} {
		f.Add("POST", "/modules/filter/genid/"+testGen+"/"+op, "api-version=2018-06-28", "application/json",
			`{"data":"QQ==","plaintext":"QQ==","ciphertext":"AvKFb1XhPR3+sZIThUltdGyyNS0aMg==","initializationVector":"QQ=="}`)
	}
	f.Add("GET", "/trust-bundle", "api-version=2022-08-03", "", "")
	f.Add("POST", "/modules/%6fther/genid/2/sign", "api-version=2018-06-28", "text/plain", "{}")
	f.Add("POST", "/modules/filter/genid/%2F/..//sign/", "api-version=2018-06-28", "application/json;charset=utf-8", "[")
	api, _ := testAPI(f, func(o *Options) { o.Authority = nil })
	f.Fuzz(func(t *testing.T, method, path, query, kind, body string) {
		u, err := url.Parse(path)
		if err != nil {
			t.Skip()
		}
		u.RawQuery = query
		r := &http.Request{Method: method, URL: u, Header: http.Header{"Content-Type": {kind}}, Body: http.NoBody}
		if body != "" {
			r.Body = httptest.NewRequest("POST", "/", strings.NewReader(body)).Body
		}
		w := httptest.NewRecorder()
		api.serve(w, r, "filter", true)
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%d %q: %v", w.Code, w.Body, err)
		}
		c, _ := parseCall(u)
		if _, signed := answer["digest"]; signed && (w.Code != 200 || c.module != "filter") {
			t.Fatalf("%d %s for %q", w.Code, w.Body, c.module)
		}
		if _, refused := answer["message"]; refused != (w.Code >= 400) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	api, _ := testAPI(b, nil)
	body := `{"keyId":"primary","algo":"HMACSHA256","data":"` + b64("myhub.azure-devices.net%2Fdevices%2Fedge%2Fmodules%2Ffilter\n1700000000") + `"}`
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/modules/filter/genid/1/sign?api-version=2018-06-28", strings.NewReader(body))
		w := httptest.NewRecorder()
		api.serve(w, r, "filter", true)
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
