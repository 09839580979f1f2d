package hubevent

import (
	"encoding/json"
	"testing"

	"sluice/iot"
)

func TestBody(t *testing.T) {
	for name, c := range map[string]struct {
		contentType, body string
		json, text        string
	}{
		"JSON that says so":      {"application/json; charset=utf-8", `{"a": 1}`, `{"a":1}`, `{"a":1}`},
		"JSON that does not":     {"", `{"a":1}`, `"{\"a\":1}"`, `{"a":1}`},
		"says JSON but is not":   {"application/json", `{`, `"{"`, `{`},
		"text":                   {"text/plain", "warm", `"warm"`, "warm"},
		"a suffix":               {"application/senml+json", "[1]", "[1]", "[1]"},
		"nothing":                {"", "", `""`, ""},
		"bytes that are no text": {"", "\xff\x00", "", "/wA="},
	} {
		t.Run(name, func(t *testing.T) {
			m := iot.Message{Body: []byte(c.body)}
			m.System.Set(iot.ContentType, c.contentType)
			m.Stamp(iot.ModuleIdentity("d", "m"))
			var e, back Event
			e.Fill(&m)
			line, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(line, &back); err != nil {
				t.Fatal(err)
			}
			if string(back.Body) != c.json || back.Text() != c.text {
				t.Errorf("body %s, text %q; want %s, %q", back.Body, back.Text(), c.json, c.text)
			}
			if back.Device != "d" || back.Module != "m" || back.System["iothub-connection-device-id"] != "d" {
				t.Errorf("sender: %+v", back)
			}
		})
	}
}
