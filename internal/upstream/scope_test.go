package upstream

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/iot"
)

var edgeHub = iot.Credentials{Identity: iot.Identity{Device: "edge", Module: "$edgeHub"}, Token: "the token"}

const leafJSON = `{"deviceId":"leaf","generationId":"7","etag":"AA==","status":"disabled","deviceScope":"ms-azure-iot-edge://edge-1",
	"authentication":{"type":"SAS","symmetricKey":{"primaryKey":"cA==","secondaryKey":"cw=="}}}`

const edgeJSON = `{"deviceId":"edge","capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://edge-1","status":"enabled",
	"authentication":{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":"AB","secondaryThumbprint":"CD"}}}`

var leaf = iot.Registration{
	Identity: iot.DeviceIdentity("leaf"), GenerationID: "7", ETag: "AA==", Scope: "ms-azure-iot-edge://edge-1",
	Auth: iot.Authentication{Type: iot.AuthSAS, PrimaryKey: "cA==", SecondaryKey: "cw=="},
}

var edge = iot.Registration{
	Identity: iot.DeviceIdentity("edge"), Enabled: true, Edge: true, Scope: "ms-azure-iot-edge://edge-1",
	Auth: iot.Authentication{Type: iot.AuthSelfSigned, PrimaryThumbprint: "AB", SecondaryThumbprint: "CD"},
}

func TestTheScopeComesInPages(t *testing.T) {
	var asked []string
	h := startHub(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI()+" by "+r.Header.Get("Authorization"))
		if r.URL.Query().Get("continuationToken") == "" {
			fmt.Fprintf(w, `{"devices":[%s],"modules":[],"continuationLink":"https://%s/x?continuationToken=more%%26"}`, edgeJSON, r.Host)
			return
		}
		fmt.Fprintf(w, `{"devices":[%s,{"deviceId":"../etc"}],"modules":[{"deviceId":"edge","moduleId":"m","authentication":{"type":"future"}}]}`, leafJSON)
	}))
	client := h.client(t, nil)
	first, err := client.InScope(t.Context(), edgeHub, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.InScope(t.Context(), edgeHub, first.Next)
	if err != nil {
		t.Fatal(err)
	}
	module := iot.Registration{Identity: iot.Identity{Device: "edge", Module: "m"}, Enabled: true, Auth: iot.Authentication{Type: iot.AuthNone}}
	if diff := cmp.Diff(iot.ScopePage{Identities: []iot.Registration{edge}, Next: "more&"}, first); diff != "" {
		t.Errorf("first page: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(iot.ScopePage{Identities: []iot.Registration{leaf, module}}, second); diff != "" {
		t.Errorf("second page: -want +got\n%s", diff)
	}
	want := []string{
		"/devices/edge/modules/$edgeHub/devicesAndModulesInDeviceScope?api-version=2018-08-30-preview&deviceCount=500 by the token",
		"/devices/edge/modules/$edgeHub/devicesAndModulesInDeviceScope?api-version=2018-08-30-preview&continuationToken=more%26&deviceCount=500 by the token",
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked: -want +got\n%s", diff)
	}
}

func TestLookupFindsOneIdentityOrSaysSo(t *testing.T) {
	h := startHub(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("targetDeviceId") != "leaf" {
			fmt.Fprint(w, `{"devices":[],"modules":[]}`)
			return
		}
		fmt.Fprintf(w, `{"devices":[%s]}`, leafJSON)
	}))
	client := h.client(t, nil)
	got, err := client.Lookup(t.Context(), edgeHub, iot.DeviceIdentity("leaf"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]iot.Registration{leaf}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if _, err := client.Lookup(t.Context(), edgeHub, iot.DeviceIdentity("nobody")); iot.KindOf(err) != iot.NotFound {
		t.Errorf("an unknown device: %v", err)
	}
}

func TestWhatAHubAnswersInstead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(http.ResponseWriter)
		kind   iot.Kind
		text   string
	}{
		{"refused", func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"Message":"ErrorCode:IotHubUnauthorizedAccess;Unauthorized"}`)
		}, iot.Unauthorized, "IotHubUnauthorizedAccess"},
		{"throttled", func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) }, iot.Throttled, "429"},
		{"a proxy's page", func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, "<html>"+strings.Repeat("x", 1000))
		}, iot.Unavailable, "<html>"},
		{"a portal's page", func(w http.ResponseWriter) { fmt.Fprint(w, "<html>please log in") }, iot.Unavailable, "not what a hub sends"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := startHub(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tt.answer(w) }))
			_, err := h.client(t, nil).InScope(t.Context(), edgeHub, "")
			if iot.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) || len(err.Error()) > 500 {
				t.Errorf("error %v (%v), want %v with %q", err, iot.KindOf(err), tt.kind, tt.text)
			}
		})
	}
}

func TestAnAnswerWithoutEndIsGivenUp(t *testing.T) {
	h := startHub(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	if _, err := h.client(t, nil).InScope(t.Context(), edgeHub, ""); iot.KindOf(err) != iot.TooLarge {
		t.Errorf("error %v", err)
	}
}

func TestAnAbsentHubIsUnavailable(t *testing.T) {
	h := startHub(t, nil)
	client := h.client(t, func(o *Options) { o.MQTTPort, o.HTTPSPort = 1, 1 })
	if _, err := client.InScope(t.Context(), edgeHub, ""); iot.KindOf(err) != iot.Unavailable {
		t.Errorf("scope: %v", err)
	}
	if _, err := client.Connect(t.Context(), edgeHub, iot.Client{}); iot.KindOf(err) != iot.Unavailable {
		t.Errorf("connect: %v", err)
	}
}
