package iot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestValidateID(t *testing.T) {
	const marks = "-.+%_#*?!(),:=@$'"
	for _, id := range []string{"a", "Z9", marks, "$edgeHub", strings.Repeat("x", MaxIDLength)} {
		if err := ValidateID(id); err != nil {
			t.Errorf("ValidateID(%q): %v", id, err)
		}
	}
	for id, want := range map[string]error{
		"":                                 ErrIDEmpty,
		strings.Repeat("x", MaxIDLength+1): ErrIDLong,
	} {
		if err := ValidateID(id); !errors.Is(err, want) {
			t.Errorf("ValidateID(%.8q): %v, want %v", id, err, want)
		}
	}
	for c := range 256 {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		want := letter || strings.IndexByte(marks, byte(c)) >= 0
		if got := ValidateID("d"+string([]byte{byte(c)})) == nil; got != want {
			t.Errorf("byte %#x in an id: allowed is %v, want %v", c, got, want)
		}
	}
}

func TestIdentityText(t *testing.T) {
	for text, want := range map[string]Identity{
		"dev":          DeviceIdentity("dev"),
		"dev/mod":      ModuleIdentity("dev", "mod"),
		"dev/$edgeHub": ModuleIdentity("dev", EdgeHubModule),
	} {
		got, err := ParseIdentity(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("ParseIdentity(%q) = %#v, %v; want %#v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/", "dev/", "/mod", "dev/mod/x", "dev//mod", "d v", "dev/m\x00", "../../dev", "dév"} {
		if id, err := ParseIdentity(text); err == nil {
			t.Errorf("ParseIdentity(%q) = %#v, want an error", text, id)
		}
	}
}

func TestIdentityInJSON(t *testing.T) {
	want := map[Identity]Identity{ModuleIdentity("d", "m"): {}, DeviceIdentity("d"): DeviceIdentity("e")}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got map[Identity]Identity
	if err := json.Unmarshal(b, &got); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s reads as %v, %v; want %v", b, got, err, want)
	}
	var id Identity
	if err := json.Unmarshal([]byte(`"d/m/x"`), &id); err == nil || !id.IsZero() {
		t.Errorf("an identity of three parts reads as %v, %v", id, err)
	}
}

func TestKinds(t *testing.T) {
	for k, want := range []struct {
		status    int
		retryable bool
	}{
		Internal:           {500, true},
		Invalid:            {400, false},
		Unauthorized:       {401, false},
		Forbidden:          {403, false},
		NotFound:           {404, false},
		Conflict:           {409, false},
		PreconditionFailed: {412, false},
		TooLarge:           {413, false},
		Throttled:          {429, true},
		Unavailable:        {503, true},
		Timeout:            {504, true},
	} {
		k := Kind(k)
		if k.HTTPStatus() != want.status || k.Retryable() != want.retryable {
			t.Errorf("%v: status %d retryable %v, want %v", k, k.HTTPStatus(), k.Retryable(), want)
		}
		if back := KindFromHTTP(want.status); back != k {
			t.Errorf("KindFromHTTP(%d) = %v, want %v", want.status, back, k)
		}
	}
	if last := Kind(len(kinds)); last.String() != "unknown" || last.HTTPStatus() != 500 {
		t.Errorf("a kind that does not exist: %q, status %d", last, last.HTTPStatus())
	}
	for status, want := range map[int]Kind{402: Invalid, 418: Invalid, 502: Unavailable, 599: Unavailable, 302: Unavailable} {
		if got := KindFromHTTP(status); got != want {
			t.Errorf("KindFromHTTP(%d) = %v, want %v", status, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	id := ModuleIdentity("d", "m")
	for want, err := range map[string]error{
		"connect d/m: unauthorized: the token expired":             Errorf(Unauthorized, "connect", id, "the token %s", "expired"),
		"connect: throttled":                                       Errorf(Throttled, "connect", Identity{}, ""),
		"internal error":                                           &Error{},
		"send d/m: unavailable: try later: disk full":              &Error{Unavailable, "send", id, "try later", errors.New("disk full")},
		"up: session: conflict: the same identity connected again": fmt.Errorf("up: %w", ErrTakenOver),
	} {
		if err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
	}
	wrapped := fmt.Errorf("a: %w", &Error{Kind: NotFound, Err: Errorf(Invalid, "", Identity{}, "")})
	if KindOf(wrapped) != NotFound || KindOf(errors.New("x")) != Internal || !errors.Is(fmt.Errorf("a: %w", ErrClosed), ErrClosed) {
		t.Error("KindOf does not find the first Error of the chain")
	}
}

func TestSystemNames(t *testing.T) {
	for n := SystemName(0); n < 255; n++ {
		name := n.String()
		if known := n > 0 && n < systemNames; known != (name != "") {
			t.Errorf("system property %d has name %q", n, name)
		} else if back, ok := ParseSystemName(strings.ToUpper(name)); known && (!ok || back != n) {
			t.Errorf("ParseSystemName(%q) = %v, want %v", name, back, n)
		}
	}
	if _, ok := ParseSystemName(""); ok {
		t.Error("the empty name is a system property")
	}
}

func TestMessageProperties(t *testing.T) {
	var m Message
	m.System.Set(MessageID, "")
	m.System.Set(MessageID, "1")
	m.System.Set(To, "x")
	m.System.Set(MessageID, "22")
	m.Properties.Set("Key", "a")
	m.Properties.Set("key", "b")
	m.Properties.Set("Key", "cc")
	m.Body = []byte("body")
	if got, want := m.Size(), len("messageId22")+len("tox")+len("Keycc")+len("keyb")+len("body"); got != want {
		t.Errorf("Size is %d, want %d", got, want)
	}
	if v, ok := m.Properties.Get("key"); v != "b" || !ok {
		t.Errorf(`Get("key") = %q, %v`, v, ok)
	}
	if v, ok := m.Properties.Lookup("KEY"); v != "cc" || !ok {
		t.Errorf(`Lookup("KEY") = %q, %v`, v, ok)
	}
	if _, ok := m.Properties.Get("KEY"); ok {
		t.Error("Get ignores letter case")
	}
	m.System.Set(MessageID, "")
	if len(m.System) != 1 || m.System.Get(MessageID) != "" || m.System.Get(To) != "x" {
		t.Errorf("after removing the message id: %v", m.System)
	}
}

func TestZ3_StampReplacesTheClaimedSender(t *testing.T) {
	m := Message{System: System{{ConnectionDeviceID, "victim"}, {ConnectionModuleID, "m"}}}
	m.Stamp(DeviceIdentity("me"))
	if m.Sender() != DeviceIdentity("me") {
		t.Errorf("sender %v, want me", m.Sender())
	}
}

func TestExpiry(t *testing.T) {
	want := time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)
	for text, want := range map[string]time.Time{
		"2030-01-02T03:04:05.006Z":      want,
		"2030-01-02T04:04:05.006+01:00": want,
		"":                              {},
		"tomorrow":                      {},
		"1893553445":                    {},
	} {
		m := Message{System: System{{ExpiryTime, text}}}
		if got := m.Expiry(); !got.Equal(want) {
			t.Errorf("expiry %q is %v, want %v", text, got, want)
		}
	}
}

func TestS12_SecretsDoNotPrint(t *testing.T) {
	const key = "c2VjcmV0"
	reg := Registration{Identity: DeviceIdentity("d"), Auth: Authentication{PrimaryKey: key}}
	creds := Credentials{Identity: DeviceIdentity("d"), Token: key}
	var out bytes.Buffer
	for _, v := range []any{reg, &reg, Secret(key), creds, &creds} {
		fmt.Fprintf(&out, "%v %+v %s ", v, v, v)
	}
	fmt.Fprintf(&out, "%#v %q %x", reg, Secret(key), Secret(key))
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("m", "secret", Secret(key), "creds", creds)
	}
	if strings.Contains(out.String(), key) || strings.Contains(out.String(), fmt.Sprintf("%x", key)) {
		t.Errorf("the secret is in %s", out.String())
	}
	if Secret(key).Reveal() != key || Secret("").String() != "" {
		t.Error("Reveal does not reveal, or an absent secret prints")
	}
}
