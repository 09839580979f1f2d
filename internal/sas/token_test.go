package sas

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/iot"
)

const (
	testKey  iot.Secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	otherKey iot.Secret = "YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk="
)

// in2100 is when the tokens of the tests expire.
var in2100 = time.Unix(4102444800, 0)

// These were made with the signing code of Microsoft's Node SDK, whose escapes
// of marks are in lower case, and, the last, as devices do that escape nothing.
var foreignTokens = []struct {
	name, text string
	resource   Resource
	policy     string
}{
	{"device", "SharedAccessSignature sr=hub.example%2Fdevices%2Fdev1&sig=Ft2mv3T%2FMVpF53pHjYjpHI4WMESB%2F90RwgmjHfGf8sI%3D&se=4102444800",
		Resource{Host: "hub.example", Identity: iot.DeviceIdentity("dev1")}, ""},
	{"module", "SharedAccessSignature sr=hub.example%2Fdevices%2Fdev1%2Fmodules%2F%24edgeHub&sig=HJQMQAmwK6pbxT%2BmpQ9Sp%2BtAr%2FmESJ66cV5KmA7U5Pk%3D&se=4102444800",
		Resource{Host: "hub.example", Identity: iot.ModuleIdentity("dev1", "$edgeHub")}, ""},
	{"every mark in the id", "SharedAccessSignature sr=hub.example%2Fdevices%2Fa%25%23%2a%21%28x%29%27%40%24%3D%2C%3A%3F%2B_.-&sig=6hQ7eepafyTbShBnaEwYNv%2FP7fEMkVlXTPENG37B72M%3D&se=4102444800",
		Resource{Host: "hub.example", Identity: iot.DeviceIdentity("a%#*!(x)'@$=,:?+_.-")}, ""},
	{"service, policy before expiry", "SharedAccessSignature sr=hub.example&sig=NXxQcndVaV54siHccr5O6gSh9%2BIsl0xTY6nIcklTIWo%3D&skn=iothubowner&se=4102444800",
		Resource{Host: "hub.example"}, "iothubowner"},
	{"nothing escaped, empty policy", "SharedAccessSignature sr=hub.example/devices/dev1&sig=gCw9BFqQ7ArA4YtxVntcbeg0LTmR4qFj7wdr1yv10tY=&se=4102444800&skn=",
		Resource{Host: "hub.example", Identity: iot.DeviceIdentity("dev1")}, ""},
}

func TestTokensOfOtherMakersAreAccepted(t *testing.T) {
	for _, tt := range foreignTokens {
		t.Run(tt.name, func(t *testing.T) {
			token, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if token.Resource != tt.resource || token.Policy != tt.policy || !token.Expiry.Equal(in2100) {
				t.Errorf("read as %+v policy %q until %v", token.Resource, token.Policy, token.Expiry)
			}
			if !token.SignedBy(testKey) || token.SignedBy(otherKey) {
				t.Error("the signature is not the key's, or also another's")
			}
		})
	}
}

func TestSignMakesWhatTheNodeSDKMakes(t *testing.T) {
	for _, tt := range foreignTokens[:2] {
		if got, err := Sign(testKey, tt.resource, "", in2100); err != nil || got != tt.text {
			t.Errorf("%s: %v\n got %s\nwant %s", tt.name, err, got, tt.text)
		}
	}
}

func deviceToken(t testing.TB) string {
	t.Helper()
	text, err := Sign(testKey, Resource{Host: "hub.example", Identity: iot.DeviceIdentity("dev1")}, "", in2100)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// believed says whether text proves dev1 at hub.example.
func believed(text string, keys ...iot.Secret) bool {
	token, err := Parse(text)
	return err == nil && token.Resource == Resource{Host: "hub.example", Identity: iot.DeviceIdentity("dev1")} &&
		!token.Expired(in2100.Add(-time.Second)) && token.SignedBy(keys...)
}

func TestS7_EveryFlippedBitIsRefused(t *testing.T) {
	text := deviceToken(t)
	sig := strings.Index(text, "&sig=")
	for i := range len(text) {
		for bit := range 8 {
			b := []byte(text)
			b[i] ^= 1 << bit
			// A hex digit of an escape in the signature means the same in
			// either case; the signature itself does not cover it.
			same := i > sig && strings.EqualFold(string(b), text) && strings.IndexByte(text[max(0, i-2):i], '%') >= 0
			if got := believed(string(b), testKey); got != same {
				t.Errorf("bit %d of byte %d flipped (%q): believed is %v, want %v", bit, i, b, got, same)
			}
		}
	}
}

func TestS7_EveryCutIsRefused(t *testing.T) {
	text := deviceToken(t)
	for i := range len(text) {
		if believed(text[:i], testKey) {
			t.Errorf("a token cut at byte %d is believed", i)
		}
	}
}

func TestS7_Keys(t *testing.T) {
	text := deviceToken(t)
	for _, tt := range []struct {
		name string
		keys []iot.Secret
		want bool
	}{
		{"primary", []iot.Secret{testKey, otherKey}, true},
		{"secondary", []iot.Secret{otherKey, testKey}, true},
		{"both the same", []iot.Secret{testKey, testKey}, true},
		{"another's", []iot.Secret{otherKey}, false},
		{"none", nil, false},
		{"empty", []iot.Secret{"", ""}, false},
		{"not base64", []iot.Secret{"***"}, false},
		{"the text of the key instead of its bytes", []iot.Secret{"TURFeU16UTFOamM0T1dGaVkyUmxaakF4TWpNME5UWTNPRGxoWW1Oa1pXWT0="}, false},
	} {
		if got := believed(text, tt.keys...); got != tt.want {
			t.Errorf("%s: believed is %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestS7_Audiences(t *testing.T) {
	for sr, want := range map[string]bool{
		"hub.example%2Fdevices%2Fdev1":               true,
		"hub.example%2fdevices%2fdev1":               true, // signed so, and means the same
		"HUB.Example%2Fdevices%2Fdev1":               true, // host names have no case
		"hub.example/devices/dev1":                   true,
		"hub.example%2Fdevices%2Fdev10":              false,
		"hub.example%2Fdevices%2Fdev":                false,
		"hub.example%2Fdevices%2FDev1":               false,
		"hub.example%2FDevices%2Fdev1":               false,
		"hub.example%2Fdevices%2Fdev1%2F":            false,
		"hub.example%2Fdevices%2Fdev1%2Fmodules":     false,
		"hub.example%2Fdevices%2Fdev1%2Fmodules%2F":  false,
		"hub.example%2Fdevices%2Fdev1%2Fmodules%2Fm": false,
		"hub.example%2Fdevices%2F%2564ev1":           false, // doubly encoded is another id
		"hub.example%2Fdevices%2Fdev1%00":            false,
		"hub.example%2Fdevices%2F..%2Fdev1":          false,
		"hub.example%2F%2Fdevices%2Fdev1":            false,
		"other.example%2Fdevices%2Fdev1":             false,
		"hub.example.evil.test%2Fdevices%2Fdev1":     false,
		"hub.e\u017fample%2Fdevices%2Fdev1":          false,
		"hub.example":                                false,
		"%2Fdevices%2Fdev1":                          false,
		"hub.example%2Fdevices%2Fdev1%zz":            false,
	} {
		mac, _ := DecodeKey(testKey)
		text := prefix + "sr=" + sr + "&sig=" + escape(encodeMAC(digest(mac, []byte(sr+"\n4102444800")))) + "&se=4102444800"
		if got := believed(text, testKey); got != want {
			t.Errorf("sr=%s: believed is %v, want %v", sr, got, want)
		}
	}
}

func TestS7_Fields(t *testing.T) {
	text := deviceToken(t)
	fields := strings.Split(strings.TrimPrefix(text, prefix), "&")
	sr, sig, se := fields[0], fields[1], fields[2]
	for name, tt := range map[string]struct {
		text string
		want bool
	}{
		"as made":                {text, true},
		"every order, 1":         {prefix + se + "&" + sig + "&" + sr, true},
		"every order, 2":         {prefix + sig + "&" + sr + "&" + se, true},
		"with an empty policy":   {text + "&skn=", true},
		"without sr":             {prefix + sig + "&" + se, false},
		"without sig":            {prefix + sr + "&" + se, false},
		"without se":             {prefix + sr + "&" + sig, false},
		"sr twice":               {text + "&" + sr, false},
		"sig twice":              {text + "&" + sig, false},
		"se twice, later first":  {prefix + "se=9999999999&" + sr + "&" + sig + "&" + se, false},
		"an unknown field":       {text + "&x=1", false},
		"a field in capitals":    {prefix + "SR" + sr[2:] + "&" + sig + "&" + se, false},
		"a trailing ampersand":   {text + "&", false},
		"leading space":          {" " + text, false},
		"two spaces":             {prefix + " " + sr + "&" + sig + "&" + se, false},
		"another scheme":         {"Bearer " + text[len(prefix):], false},
		"scheme in lower case":   {strings.ToLower(prefix) + text[len(prefix):], false},
		"nothing":                {"", false},
		"no fields":              {prefix, false},
		"1 MB":                   {text + "&skn=" + strings.Repeat("x", 1<<20), false},
		"policy not url-encoded": {text + "&skn=%", false},
		"signature not base64":   {prefix + sr + "&sig=!!!&" + se, false},
		"signature too short":    {prefix + sr + "&sig=AAAA&" + se, false},
	} {
		if got := believed(tt.text, testKey); got != tt.want {
			t.Errorf("%s: believed is %v, want %v", name, got, tt.want)
		}
		if _, err := Parse(tt.text); err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v is not ErrMalformed", name, err)
		}
	}
}

func TestT7_OnlyPlainSecondsAreAnExpiry(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	key, _ := DecodeKey(testKey)
	for se, want := range map[string]bool{
		"1700000001":          true,
		"2147483648":          true, // 2^31: no 32-bit clock here
		"253402300799":        true,
		"253402300800":        false,
		"1700000000":          false, // expires now
		"0":                   false,
		"-1":                  false,
		"9223372036854775807": false,
		"9223372036854775808": false,
		"1e9":                 false,
		"1e10":                false,
		" 1700000001":         false,
		"1700000001 ":         false,
		"+1700000001":         false,
		"1700000001.5":        false,
		"0x6553f101":          false,
		"1_700_000_001":       false,
		"%31700000001":        false,
		"١٧٠٠٠٠٠٠٠١":          false,
		"":                    false,
	} {
		sr := "hub.example%2Fdevices%2Fdev1"
		token, err := Parse(prefix + "sr=" + sr + "&sig=" + escape(encodeMAC(digest(key, []byte(sr+"\n"+se)))) + "&se=" + se)
		if got := err == nil && token.SignedBy(testKey) && !token.Expired(now); got != want {
			t.Errorf("se=%q: valid is %v (%v), want %v", se, got, err, want)
		}
	}
}

func drawResource(t *rapid.T) Resource {
	id := rapid.StringMatching(`[-a-zA-Z0-9.+%_#*?!(),:=@$']{1,128}`)
	r := Resource{Host: rapid.StringMatching(`[a-z0-9.-]{1,40}`).Draw(t, "host")}
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 1:
		r.Identity = iot.DeviceIdentity(id.Draw(t, "device"))
	case 2:
		r.Identity = iot.ModuleIdentity(id.Draw(t, "device"), id.Draw(t, "module"))
	}
	return r
}

func TestTokenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawResource(t)
		policy := rapid.StringN(0, 20, -1).Draw(t, "policy")
		text, err := Sign(testKey, want, policy, in2100)
		if err != nil {
			t.Fatal(err)
		}
		token, err := Parse(text)
		if err != nil || token.Resource != want || token.Policy != policy || !token.SignedBy(testKey) {
			t.Fatalf("%s reads as %+v, %v; want %+v with policy %q", text, token, err, want, policy)
		}
	})
}

func TestSignWithReportsItsKeeper(t *testing.T) {
	away := errors.New("keeper is away")
	_, err := SignWith(func([]byte) ([]byte, error) { return nil, away }, Resource{Host: "h"}, "", in2100)
	if !errors.Is(err, away) {
		t.Errorf("error %v, want the keeper's", err)
	}
	if _, err := Sign("not base64!", Resource{Host: "h"}, "", in2100); !errors.Is(err, ErrKey) {
		t.Errorf("error %v, want ErrKey", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range foreignTokens {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		if token.SignedBy(otherKey) {
			t.Fatalf("%q is signed by a key that nobody used", text)
		}
		if id := token.Resource.Identity; !id.IsZero() && id.Validate() != nil {
			t.Fatalf("%q names %v", text, id)
		}
	})
}

func FuzzParseResource(f *testing.F) {
	f.Add("hub.example%2Fdevices%2Fdev1%2Fmodules%2F%24edgeHub")
	f.Add("hub/devices/%252F")
	f.Fuzz(func(t *testing.T, encoded string) {
		r, err := ParseResource(encoded)
		if err != nil {
			return
		}
		again, err := ParseResource(escape(r.String()))
		if err != nil || again != r {
			t.Fatalf("%q reads as %+v, and written again as %+v, %v", encoded, r, again, err)
		}
	})
}

func BenchmarkParseAndCheck(b *testing.B) {
	text := deviceToken(b)
	b.ReportAllocs()
	for b.Loop() {
		token, err := Parse(text)
		if err != nil || !token.SignedBy(otherKey, testKey) {
			b.Fatal(err)
		}
	}
}
