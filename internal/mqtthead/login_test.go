package mqtthead

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"sluice/iot"
	"sluice/mqtt"
)

// S3, S7: the hub judges the proof; the head hands it over as it came, a token
// before a certificate, and never both.
func TestS3_ProofReachesTheHub(t *testing.T) {
	chain := []*x509.Certificate{{Raw: []byte("leaf")}, {Raw: []byte("ca")}}
	withChain := &tls.ConnectionState{PeerCertificates: chain}
	for _, test := range []struct {
		name         string
		password     string
		tls          *tls.ConnectionState
		token        string
		certificates int
		code         mqtt.ConnectCode
	}{
		{name: "token", password: "SharedAccessSignature sr=x", token: "SharedAccessSignature sr=x"},
		{name: "token over TLS", password: "t", tls: &tls.ConnectionState{}, token: "t"},
		{name: "certificate", tls: withChain, certificates: 2},
		{name: "both", password: "t", tls: withChain, token: "t"},
		{name: "neither", code: mqtt.CodeNotAuthorized},
		{name: "TLS without certificate", tls: &tls.ConnectionState{}, code: mqtt.CodeNotAuthorized},
	} {
		t.Run("S3 "+test.name, func(t *testing.T) {
			c := &mqtt.Connect{ClientID: "dev1", Username: "hub/dev1/?api-version=x", Password: []byte(test.password), TLS: test.tls}
			l, err := parseLogin(c)
			if test.code != 0 {
				if refused, ok := err.(*mqtt.ConnectError); !ok || refused.Code != test.code {
					t.Fatalf("got %v, want code %d", err, test.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			creds := l.credentials(c)
			if creds.Identity != iot.DeviceIdentity("dev1") || creds.Token != test.token || len(creds.Certificates) != test.certificates {
				t.Errorf("got %v with %d certificates", creds, len(creds.Certificates))
			}
		})
	}
}

// A kind of failure that is added to package iot must be given its answer.
func TestEveryKindHasItsAnswer(t *testing.T) {
	for k := iot.Internal; k <= iot.Timeout; k++ {
		if connectCodes[k] == 0 {
			t.Errorf("kind %v is answered with CONNACK 0, which is success", k)
		}
	}
	if int(iot.Timeout) != len(connectCodes)-1 {
		t.Errorf("%d answers for kinds up to %d", len(connectCodes), iot.Timeout)
	}
}
