package pki

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRenewalKeepsEverythingButTimeAndSerialNumber(t *testing.T) {
	s := newSite()
	later := at(time.Now().Add(200 * 24 * time.Hour))
	for name, tt := range map[string]struct {
		by  *Authority
		old *Pair
	}{
		"server":  {s.edge, s.server},
		"device":  {s.mid, s.device},
		"edge CA": {s.mid, &Pair{s.edge.chain, s.edge.key}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := tt.by.Renew(tt.old.Leaf(), Options{Signer: tt.old.Key, Now: later})
			if err != nil {
				t.Fatal(err)
			}
			was, is := tt.old.Leaf(), p.Leaf()
			type kept struct {
				Subject, Issuer string
				Names           []string
				CA              bool
				Path            int
				Usage           int
				Usages          []string
				KeyID           string
			}
			all := func(p *Pair) kept {
				c := p.Leaf()
				return kept{c.Subject.String(), c.Issuer.String(), ServerNames(c), c.IsCA, c.MaxPathLen, int(c.KeyUsage), Usages(c), string(c.SubjectKeyId)}
			}
			if diff := cmp.Diff(all(tt.old), all(p)); diff != "" {
				t.Error(diff)
			}
			if was.SerialNumber.Cmp(is.SerialNumber) == 0 {
				t.Error("the serial number is the old one")
			}
			if is.IsCA { // ends with its issuer, as it did before
				return
			}
			if life := is.NotAfter.Sub(is.NotBefore); !is.NotAfter.After(was.NotAfter) || life != was.NotAfter.Sub(was.NotBefore) {
				t.Errorf("life %v, was %v", life, was.NotAfter.Sub(was.NotBefore))
			}
		})
	}
}

func TestChildrenHoldBelowAnAuthorityRenewedWithItsKey(t *testing.T) {
	s := newSite()
	root := must(RenewSelfSigned(s.root.Certificate(), Options{Signer: s.root.key}))
	if found := Verify(s.server.Chain, Question{Roots: root.Chain, Host: "gw.local"}); found != nil {
		t.Error(found)
	}
	fresh := must(RenewSelfSigned(s.root.Certificate(), Options{}))
	if found := Verify(s.server.Chain, Question{Roots: fresh.Chain, Host: "gw.local"}); len(found) != 1 || found[0].Reason != UnknownRoot {
		t.Errorf("below a root with another key: %v", found)
	}
}

func TestANewKeyOfTheAuthorityIsNoReasonNotToRenew(t *testing.T) {
	s := newSite()
	again := must(s.mid.Renew(s.edge.Certificate(), Options{}))
	edge := &Authority{chain: again.Chain, root: s.root.Root(), key: again.Key}
	p, err := edge.Renew(s.server.Leaf(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if found := Verify(p.Chain, Question{Roots: s.root.Chain(), Host: "gw.local", Key: p.Key}); found != nil {
		t.Error(found)
	}
	if sameKey(s.server.Leaf().PublicKey, p.Key) {
		t.Error("the key is the old one")
	}
}

func TestWhatAnotherSignedIsNotRenewed(t *testing.T) {
	s := newSite()
	if _, err := s.root.Renew(s.server.Leaf(), Options{}); err == nil || !strings.Contains(err.Error(), `"gw edge CA"`) {
		t.Errorf("by an authority that is not its issuer: %v", err)
	}
	if _, err := RenewSelfSigned(s.server.Leaf(), Options{}); err == nil || !strings.Contains(err.Error(), "not by itself") {
		t.Errorf("by itself: %v", err)
	}
}

func TestASelfSignedDeviceIsRenewedWithOtherThumbprints(t *testing.T) {
	old := must(SelfSigned("pump-8", Options{}))
	p := must(RenewSelfSigned(old.Leaf(), Options{Signer: old.Key}))
	was, _ := Thumbprints(old.Leaf())
	is, _ := Thumbprints(p.Leaf())
	if was == is || !sameKey(p.Leaf().PublicKey, old.Key) || p.Leaf().IsCA {
		t.Errorf("thumbprint %s, was %s", is, was)
	}
}
