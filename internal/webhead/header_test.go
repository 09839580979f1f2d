package webhead

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"sluice/iot"
)

// FuzzHeaders takes a command through headers and back, as a device that sends on what
// it gets would.
func FuzzHeaders(f *testing.F) {
	f.Add("m1", "level", "5", "unitName", "bar", "lock")
	f.Add("x\r\ny", "a", "x\x00", "A", " y ", "l\"")
	f.Add("größe", "sp ace", "ä", "", "z", "")
	f.Fuzz(func(t *testing.T, messageID, key1, value1, key2, value2, lock string) {
		d := iot.Delivery{LockToken: lock}
		d.Message.System.Set(iot.MessageID, messageID)
		d.Message.Properties.Set(key1, value1)
		if !strings.EqualFold(key1, key2) { // they would be one header
			d.Message.Properties.Set(key2, value2)
		}
		h, ok := writeHeaders(&d)
		if !ok {
			return
		}
		got := http.Header{}
		spelled := map[string]string{}
		for name, values := range h {
			for _, v := range append([]string{name}, values...) {
				if strings.ContainsAny(v, "\r\n\x00") {
					t.Fatalf("%q: %q would be written", name, v)
				}
			}
			got[textproto.CanonicalMIMEHeaderKey(name)] = values
			spelled[strings.ToLower(name)] = name
		}
		var m iot.Message
		if err := readHeaders(got, func(lower string) string { return spelled[lower] }, &m); err != nil {
			if key1 == "" || key2 == "" {
				return
			}
			t.Fatal(err)
		}
		want := d.Message
		if !valid(want) {
			return // it arrives as Latin-1
		}
		byKey := func(a, b iot.Property) int { return strings.Compare(strings.ToLower(a.Key), strings.ToLower(b.Key)) }
		slices.SortFunc(want.Properties, byKey)
		slices.SortFunc(m.Properties, byKey)
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

func valid(m iot.Message) bool {
	for _, v := range m.System {
		if !utf8.ValidString(v.Value) {
			return false
		}
	}
	for _, p := range m.Properties {
		if !utf8.ValidString(p.Value) {
			return false
		}
	}
	return true
}

// FuzzReadHeaders reads whatever a server may hand over.
func FuzzReadHeaders(f *testing.F) {
	f.Add("iothub-app-A: 1\niothub-messageid: x\nIoTHub-Expiry: 2026-05-04T03:02:01Z\niothub-connection-device-id: evil")
	f.Fuzz(func(t *testing.T, text string) {
		h := http.Header{}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			h.Add(name, strings.TrimSpace(value))
		}
		var m iot.Message
		if readHeaders(h, func(lower string) string { return lower }, &m) != nil {
			return
		}
		for _, v := range m.System {
			if !utf8.ValidString(v.Value) || !slices.Contains(slices.Collect(maps.Values(systemNames)), v.Name) {
				t.Errorf("%v is %q", v.Name, v.Value)
			}
		}
		for _, p := range m.Properties {
			if p.Key == "" || !utf8.ValidString(p.Value) {
				t.Errorf("property %q is %q", p.Key, p.Value)
			}
		}
	})
}

// FuzzBatch reads whatever a client may send as a batch: messages within the limits or
// an error, and never another sender.
func FuzzBatch(f *testing.F) {
	f.Add([]byte(`[{"body":"b25l","properties":{"iothub-app-Key":"a","iothub-messageid":"m1"}},{"body":"two","base64Encoded":false}]`))
	f.Add([]byte(`[{"BODY":"","properties":null},{"body":"","properties":{"iothub-connection-device-id":"evil","":"x"}}]`))
	head := New(newHub(), Options{})
	f.Cleanup(func() { _ = head.Close() }) // never fails
	f.Fuzz(func(t *testing.T, text []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(text)))
		r.Header.Set("Content-Type", batchType)
		c := &call{Head: head, w: httptest.NewRecorder(), r: r, id: iot.DeviceIdentity("dev1")}
		batch, err := c.readEvents()
		if err != nil && iot.KindOf(err) != iot.Invalid && iot.KindOf(err) != iot.TooLarge {
			t.Error(err)
		}
		for _, m := range batch {
			if m.Size() > iot.MaxMessageSize || !m.Sender().IsZero() {
				t.Errorf("%+v", m)
			}
		}
	})
}

// Names are found wherever the reads cut them.
func TestNamesAreNotedWhereverTheyAreCut(t *testing.T) {
	const text = "POST / HTTP/1.1\r\niothub-app-unitName: a\r\nIoTHub-App-B:\r\nx: iothub-app-no: 1\r\nContent-Length: 3\r\n\r\n"
	for cut := range len(text) {
		c := &conn{}
		c.scan([]byte(text[:cut]))
		c.scan([]byte(text[cut:]))
		if len(c.names) != 2 || c.spell("iothub-app-unitname") != "iothub-app-unitName" || c.spell("iothub-app-b") != "IoTHub-App-B" || c.lengths != 1 {
			t.Fatalf("cut at %d: %q, %d lengths", cut, c.names, c.lengths)
		}
	}
}

func TestNamesOfAConnectionAreBoundedAndForgotten(t *testing.T) {
	c := &conn{}
	for i := range 10_000 {
		c.scan(fmt.Appendf(nil, "iothub-app-A%d%s: x\n", i, strings.Repeat("x", 100)))
	}
	held := 0
	for _, name := range c.names {
		held += len(name)
	}
	if last := "iothub-app-A9999" + strings.Repeat("x", 100); held > maxHeader || c.spell(strings.ToLower(last)) != last {
		t.Errorf("%d bytes are held, and the last name is %q", held, c.spell(strings.ToLower(last)))
	}
	c.scan([]byte("iothub-app-" + strings.Repeat("y", 10*maxLength)))
	if cap(c.line) > 2*maxLength {
		t.Errorf("%d bytes of a line are held", cap(c.line))
	}
	c.scan([]byte(": x\n"))
	n := c.noted()
	c.scan([]byte("iothub-app-Next: x\n"))
	if c.forget(n); c.spell("iothub-app-next") != "iothub-app-Next" {
		t.Error("the name of the next request is forgotten")
	}
	if c.forget(c.noted()); len(c.names) != 0 {
		t.Errorf("%d names are held", len(c.names))
	}
}

func BenchmarkPostEvents(b *testing.B) {
	h := New(newHub(), Options{})
	defer h.Close() //nolint:errcheck // never fails
	body := strings.Repeat("x", 200)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/devices/dev1/messages/events?api-version=2021-04-12", strings.NewReader(body))
		r.Header = http.Header{
			"Authorization": {"token"}, "Iothub-App-Temperature": {"21"}, "Iothub-App-Unit": {"C"},
			"Iothub-Messageid": {"m1"}, "Iothub-Contenttype": {"application/json"}, "Iothub-Contentencoding": {"utf-8"},
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusNoContent {
			b.Fatal(w.Code, w.Body)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	text := []byte(post + "iothub-app-temperature: 21\r\niothub-app-unit: C\r\nContent-Length: 200\r\n\r\n" + strings.Repeat("x", 200))
	c := &conn{}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		c.scan(text)
	}
}
