package workload

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/internal/pki"
)

func (c *caller) certificate(path, body string) (*x509.Certificate, certificateAnswer) {
	c.t.Helper()
	status, text := c.do("POST", path+"?api-version=2019-01-30", body)
	var a certificateAnswer
	if status != 201 || json.Unmarshal([]byte(text), &a) != nil {
		c.t.Fatalf("%d %s", status, text)
	}
	chain, err := pki.ParseCertificates([]byte(a.Certificate))
	if err != nil {
		c.t.Fatal(err)
	}
	key, err := pki.ParseKey([]byte(a.PrivateKey.Bytes))
	if err != nil {
		c.t.Fatal(err)
	}
	if k, ok := key.(*rsa.PrivateKey); !ok || a.PrivateKey.Type != "key" || !k.PublicKey.Equal(chain[0].PublicKey) {
		c.t.Errorf("the key is a %T of type %q, and not the certificate's", key, a.PrivateKey.Type)
	}
	ca, err := root()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := chain[0].CheckSignatureFrom(ca.Certificate()); err != nil {
		c.t.Error(err)
	}
	return chain[0], a
}

func TestServerCertificateIsForTheNameAndTheModule(t *testing.T) {
	api, log := testAPI(t, nil)
	c := serve(t, api, log, "$edgeHub", Access{UID: -1})
	leaf, a := c.certificate("/modules/%24edgeHub/genid/"+testGen+"/certificate/server", `{"commonName":"gateway.local","expiration":"2049-01-01T00:00:00Z"}`)
	for _, name := range []string{"gateway.local", "edgehub"} {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth || leaf.Subject.CommonName != "gateway.local" {
		t.Errorf("usages %v, subject %v", leaf.ExtKeyUsage, leaf.Subject)
	}
	if left := time.Until(leaf.NotAfter); left > certificateLife || left < certificateLife-time.Hour {
		t.Errorf("it is valid for %v", left)
	}
	if want := leaf.NotAfter.Format("2006-01-02T15:04:05") + "+00:00"; a.Expiration != want {
		t.Errorf("expiration %s, want %s", a.Expiration, want)
	}
}

func TestServerCertificateForAnAddressOfAModuleWithAStrangeName(t *testing.T) {
	api, log := testAPI(t, nil)
	c := serve(t, api, log, "module with space", Access{UID: -1})
	leaf, _ := c.certificate("/modules/module%20with%20space/genid/1/certificate/server", `{"commonName":"192.0.2.7"}`)
	if err := leaf.VerifyHostname("192.0.2.7"); err != nil {
		t.Error(err)
	}
}

// A device comes with a certificate whose common name is its id, so a module that is
// called as a device must not have one.
func TestIdentityCertificateIsNoDevices(t *testing.T) {
	api, log := testAPI(t, nil)
	c := serve(t, api, log, "filter", Access{UID: -1})
	leaf, _ := c.certificate("/modules/filter/certificate/identity", "{}")
	if leaf.Subject.CommonName != "modules/filter" || len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("subject %v, usages %v", leaf.Subject, leaf.ExtKeyUsage)
	}
}

func TestWithoutAnAuthorityThereAreNoCertificates(t *testing.T) {
	for name, authority := range map[string]func() (*pki.Authority, error){
		"none":       nil,
		"unreadable": func() (*pki.Authority, error) { return nil, errors.New("no edge CA") },
	} {
		api, log := testAPI(t, func(o *Options) { o.Authority = authority })
		c := serve(t, api, log, "filter", Access{UID: -1})
		if status, body := c.do("POST", "/modules/filter/certificate/identity?api-version=2019-01-30", "{}"); status != 500 || !strings.Contains(body, "no") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}
