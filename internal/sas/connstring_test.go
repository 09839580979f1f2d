package sas

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sluice/iot"
)

func encodeMAC(mac []byte) string { return base64.StdEncoding.EncodeToString(mac) }

func TestParseConnectionString(t *testing.T) {
	key := string(testKey)
	for text, want := range map[string]ConnectionString{
		"HostName=h;DeviceId=d;SharedAccessKey=" + key: {HostName: "h", Identity: iot.DeviceIdentity("d"), Key: testKey},
		" hostname=h ; DEVICEID=d;moduleid=m;sharedaccesskey=" + key + ";GatewayHostName=g;\n": {
			HostName: "h", Identity: iot.ModuleIdentity("d", "m"), Key: testKey, GatewayHostName: "g"},
		"HostName=h;SharedAccessKeyName=iothubowner;SharedAccessKey=" + key: {HostName: "h", PolicyName: "iothubowner", Key: testKey},
		"HostName=h;DeviceId=d=e@f;x509=True":                               {HostName: "h", Identity: iot.DeviceIdentity("d=e@f"), X509: true},
		"HostName=h;DeviceId=d;Unknown=1;SharedAccessKey=" + key:            {HostName: "h", Identity: iot.DeviceIdentity("d"), Key: testKey},
	} {
		got, err := ParseConnectionString(text)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
			continue
		}
		if again, err := ParseConnectionString(got.Reveal()); err != nil || again != want {
			t.Errorf("%q is written %q, which reads as %v, %v", text, got.Reveal(), again, err)
		}
	}
}

func TestParseConnectionStringSaysWhatIsWrong(t *testing.T) {
	key := string(testKey)
	for text, want := range map[string]string{
		"":                                  "HostName=",
		"DeviceId=d;SharedAccessKey=" + key: "HostName=",
		"HostName=h;SharedAccessKey=" + key: "neither DeviceId=",
		"HostName=h;ModuleId=m;SharedAccessKey=" + key:                       "neither DeviceId=",
		"HostName=h;DeviceId=d":                                              "SharedAccessKey",
		"HostName=h;DeviceId=d;SharedAccessKey=":                             "SharedAccessKey",
		"HostName=h;DeviceId=d;SharedAccessKey=***":                          "not base64",
		"HostName=h;DeviceId=d;SharedAccessKeyName=p;SharedAccessKey=" + key: "both",
		"HostName=h;DeviceId=d/e;SharedAccessKey=" + key:                     "device id",
		"HostName=h;DeviceId=d;ModuleId=m m;SharedAccessKey=" + key:          "module id",
		"HostName=h;DeviceId=d;HostName=i;SharedAccessKey=" + key:            "twice",
		"HostName=h;DeviceId=d;" + key[:8]:                                   "no '='",
	} {
		got, err := ParseConnectionString(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", text, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), key[:8]) {
			t.Errorf("S12 the error %q repeats the key", err)
		}
	}
}

func TestS12_ConnectionStringsDoNotPrintTheKey(t *testing.T) {
	c := ConnectionString{HostName: "h", Identity: iot.DeviceIdentity("d"), Key: testKey}
	if text := fmt.Sprintf("%v %+v %s %#v", c, c, &c, c); strings.Contains(text, string(testKey)) {
		t.Errorf("the key is in %s", text)
	}
}

func FuzzParseConnectionString(f *testing.F) {
	f.Add("HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey=" + string(testKey) + ";GatewayHostName=g")
	f.Add("HostName=h;DeviceId=d;x509=true")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConnectionString(text)
		if err != nil {
			return
		}
		again, err := ParseConnectionString(c.Reveal())
		if err != nil || again != c {
			t.Fatalf("%q reads as %+v, and written again as %+v, %v", text, c, again, err)
		}
	})
}

// The vector was made with
//
//	printf sensor-7 | openssl dgst -sha256 -mac HMAC -macopt hexkey:3031…6566 -binary | base64
func TestDeriveKey(t *testing.T) {
	got, err := DeriveKey(testKey, "sensor-7")
	if err != nil || got != "OhUNrXrfpG/g3NndDLW6onYcQ7CLEbewvtrKWAkBxSc=" {
		t.Errorf("DeriveKey = %s, %v", got.Reveal(), err)
	}
	if _, err := DeriveKey("", "sensor-7"); !errors.Is(err, ErrKey) {
		t.Errorf("from no key: %v, want ErrKey", err)
	}
}

func TestNewKey(t *testing.T) {
	a, b := NewKey(), NewKey()
	if raw, err := DecodeKey(a); err != nil || len(raw) != keyLength || a == b {
		t.Errorf("keys %d bytes, %v, the same: %v", len(raw), err, a == b)
	}
}
