package service

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTimesAreReadHoweverHubsWriteThem(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 234567800, time.UTC)
	for text, want := range map[string]time.Time{
		`"2026-05-04T03:02:01.2345678Z"`:      at,
		`"2026-05-04T03:02:01.2345678"`:       at,
		`"2026-05-04T05:02:01.2345678+02:00"`: at,
		`"0001-01-01T00:00:00"`:               {},
		`"0001-01-01T00:00:00Z"`:              {},
		`null`:                                {},
	} {
		var got Time
		if err := json.Unmarshal([]byte(text), &got); err != nil || !got.Equal(want) {
			t.Errorf("%s is read as %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{`"yesterday"`, `7`, `{}`} {
		if json.Unmarshal([]byte(text), new(Time)) == nil {
			t.Errorf("%s is read as a time", text)
		}
	}
}

func TestKeysAreInTheFormAndNowhereElse(t *testing.T) {
	d := Device{DeviceID: "d", Authentication: &Authentication{SymmetricKey: &SymmetricKey{PrimaryKey: "s3cret"}}}
	text, err := json.Marshal(d)
	if err != nil || !strings.Contains(string(text), `"primaryKey":"s3cret","secondaryKey":null`) {
		t.Errorf("%s, %v", text, err)
	}
	var back Device
	if err := json.Unmarshal(text, &back); err != nil || back.Authentication.SymmetricKey.PrimaryKey.Reveal() != "s3cret" {
		t.Errorf("%+v, %v", back, err)
	}
	if s := fmt.Sprintf("%v %+v %#v", *d.Authentication.SymmetricKey, *d.Authentication.SymmetricKey, *d.Authentication.SymmetricKey); strings.Contains(s, "s3cret") {
		t.Errorf("a key is printed: %s", s)
	}
}

func TestParentIsFoundInBothForms(t *testing.T) {
	for _, tt := range []struct {
		device Device
		want   string
	}{
		{Device{DeviceScope: "s", ParentScopes: []string{"s"}}, "s"},
		{Device{DeviceScope: "s"}, "s"},
		{Device{DeviceScope: "own", Capabilities: &Capabilities{IoTEdge: true}}, ""},
		{Device{DeviceScope: "own", ParentScopes: []string{"s"}, Capabilities: &Capabilities{IoTEdge: true}}, "s"},
		{Device{}, ""},
	} {
		if got := tt.device.Parent(); got != tt.want {
			t.Errorf("the parent of %+v is %q, want %q", tt.device, got, tt.want)
		}
	}
}

// A hub's answers are bytes from outside: whatever they are, the forms are read or
// refused, and what was read can be written and read again.
func FuzzForms(f *testing.F) {
	f.Add([]byte(`{"deviceId":"d","statusReason":null,"lastActivityTime":"0001-01-01T00:00:00","authentication":{"type":"sas"}}`))
	f.Add([]byte(`{"deviceId":"d","lastActivityTime":"2026-05-04T03:02:01Z","parentScopes":["s"]}`))
	f.Add([]byte(`{"parentScopes":[],"lastActivityTime":"2026-05-04T03:02:01.123456789","cloudToDeviceMessageCount":3}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var d, again Device
		if json.Unmarshal(text, &d) != nil {
			return
		}
		written, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("read and not written: %v", err)
		}
		if err := json.Unmarshal(written, &again); err != nil {
			t.Fatalf("written and not read: %v\n%s", err, written)
		}
		if rewritten, err := json.Marshal(again); err != nil || string(rewritten) != string(written) {
			t.Fatalf("%s became %s, %v", written, rewritten, err)
		}
	})
}
