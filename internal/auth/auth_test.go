package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/sas"
	"sluice/iot"
)

var now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// site is a Directory for the tests: a tower of two gateways, leaves and
// modules, with a key for each that is derived from its name.
type site map[iot.Identity]iot.Registration

func (s site) Registration(id iot.Identity) (iot.Registration, bool) { r, ok := s[id]; return r, ok }

func (s site) EdgeDevice(scope string) (iot.Registration, bool) {
	for _, r := range s {
		if r.Edge && r.Scope == scope && scope != "" {
			return r, true
		}
	}
	return iot.Registration{}, false
}

func key(of string) iot.Secret {
	k, err := sas.DeriveKey("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", of)
	if err != nil {
		panic(err)
	}
	return k
}

func (s site) add(name string, change func(*iot.Registration)) {
	id, err := iot.ParseIdentity(name)
	if err != nil {
		panic(err)
	}
	r := iot.Registration{Identity: id, Enabled: true, Auth: iot.Authentication{
		Type: iot.AuthSAS, PrimaryKey: key(name), SecondaryKey: key(name + " secondary")}}
	if change != nil {
		change(&r)
	}
	s[id] = r
}

func (s site) edge(name string, parents ...string) {
	s.add(name, func(r *iot.Registration) {
		r.Edge, r.Scope = true, scope(name)
		for _, p := range parents {
			r.ParentScopes = append(r.ParentScopes, scope(p))
		}
	})
	s.add(name+"/$edgeHub", nil)
}

func scope(edge string) string { return "ms-azure-iot-edge://" + edge + "-1" }

func under(edge string) func(*iot.Registration) {
	return func(r *iot.Registration) { r.Scope, r.ParentScopes = scope(edge), []string{scope(edge)} }
}

// newSite: top > mid > leaf, leaf/m; top > sibling; and a device of nobody's.
func newSite() site {
	s := site{}
	s.edge("top")
	s.edge("mid", "top")
	s.edge("sibling", "top")
	s.add("mid/m", nil)
	s.add("leaf", under("mid"))
	s.add("leaf/m", nil)
	s.add("old", func(r *iot.Registration) { r.Scope = scope("mid") }) // as older hubs tell it
	s.add("dev1", nil)
	s.add("dev1/m", nil)
	s.add("dev10", nil)
	s.add("stranger", nil)
	return s
}

func (s site) authenticator() *Authenticator {
	return &Authenticator{Directory: s, Hosts: []string{"hub.example", "gw.local"}, Now: func() time.Time { return now }}
}

// token signs for an audience with the key of signer, valid for a minute.
func token(t *testing.T, audience, signer string) string {
	return tokenFor(t, "hub.example", audience, signer, now.Add(time.Minute))
}

func tokenFor(t *testing.T, host, audience, signer string, expiry time.Time) string {
	t.Helper()
	id, err := iot.ParseIdentity(audience)
	if err != nil {
		t.Fatal(err)
	}
	text, err := sas.Sign(key(signer), sas.Resource{Host: host, Identity: id}, "", expiry)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func credentials(name, token, chain string) iot.Credentials {
	device, module, _ := strings.Cut(name, "/")
	return iot.Credentials{Identity: iot.Identity{Device: device, Module: module}, Token: token, AuthChain: chain}
}

// check compares a decision with what is wanted: "" for yes, else a part of the
// reason in the log.
func check(t *testing.T, err error, refusal string) {
	t.Helper()
	switch {
	case refusal == "" && err != nil:
		t.Errorf("refused: %v", err)
	case refusal != "" && err == nil:
		t.Errorf("accepted, want a refusal: %s", refusal)
	case refusal != "" && (iot.KindOf(err) != iot.Unauthorized || !strings.Contains(err.Error(), refusal)):
		t.Errorf("error %q, want one of kind unauthorized with %q", err, refusal)
	}
}

func TestS10_WhoseKeySpeaksForWhom(t *testing.T) {
	a := newSite().authenticator()
	for _, tt := range []struct {
		identity, audience, signer string
		refusal                    string
		method                     Method
	}{
		{"dev1", "dev1", "dev1", "", ByDeviceKey},
		{"dev1", "dev1", "dev1 secondary", "", ByDeviceKey},
		{"dev1/m", "dev1/m", "dev1/m", "", ByModuleKey},
		{"dev1/m", "dev1/m", "dev1", "", ByDeviceKey}, // a module may sign with its device's key
		{"dev1/m", "dev1/m", "dev1 secondary", "", ByDeviceKey},
		{"dev1", "dev1", "dev1/m", "not signed", ""},
		{"dev1", "dev1/m", "dev1/m", "token is for", ""},
		{"dev1/m", "dev1", "dev1", "token is for", ""},
		{"dev1", "dev1", "dev10", "not signed", ""},
		{"dev1", "dev10", "dev10", "token is for", ""},
		{"dev10", "dev1", "dev1", "token is for", ""},
		{"leaf", "leaf", "mid", "not signed", ""},      // a gateway's key for a leaf
		{"leaf", "mid", "mid", "token is for", ""},     // a gateway device is not its $edgeHub
		{"leaf", "mid/m", "mid/m", "token is for", ""}, // nor is another module
		{"leaf", "mid/$edgeHub", "mid/$edgeHub", "", OnBehalfOfHub},
		{"leaf", "mid/$edgeHub", "mid", "", OnBehalfOfHub},
		{"leaf", "mid/$edgeHub", "leaf", "not signed", ""},
		{"nobody", "nobody", "nobody", "not registered", ""},
		{"dev1/other", "dev1/other", "dev1", "not registered", ""},
	} {
		t.Run(fmt.Sprintf("%s by token for %s of %s", tt.identity, tt.audience, tt.signer), func(t *testing.T) {
			r, err := a.Authenticate(credentials(tt.identity, token(t, tt.audience, tt.signer), ""))
			check(t, err, tt.refusal)
			if err == nil && (r.Method != tt.method || r.Registration.Identity.String() != tt.identity ||
				r.Actor.String() != tt.audience || !r.Expires.Equal(now.Add(time.Minute))) {
				t.Errorf("result %+v, want method %s", r, tt.method)
			}
		})
	}
}

func TestS7_HostAndTime(t *testing.T) {
	a := newSite().authenticator()
	for _, tt := range []struct {
		name, token, refusal string
	}{
		{"the gateway's name", tokenFor(t, "gw.local", "dev1", "dev1", now.Add(time.Minute)), ""},
		{"other letter case", tokenFor(t, "HUB.Example", "dev1", "dev1", now.Add(time.Minute)), ""},
		{"other host", tokenFor(t, "evil.example", "dev1", "dev1", now.Add(time.Minute)), "host"},
		{"expires now", tokenFor(t, "hub.example", "dev1", "dev1", now), "expired"},
		{"expired", tokenFor(t, "hub.example", "dev1", "dev1", now.Add(-time.Hour)), "expired 1h0m0s ago"},
		{"a second left", tokenFor(t, "hub.example", "dev1", "dev1", now.Add(time.Second)), ""},
		{"garbage", "password", "malformed"},
		{"nothing", "", "neither"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := a.Authenticate(credentials("dev1", tt.token, ""))
			check(t, err, tt.refusal)
		})
	}
}

func TestTokensNeedARegistrationForThem(t *testing.T) {
	s := newSite()
	for _, kind := range []iot.AuthType{iot.AuthSelfSigned, iot.AuthCA, iot.AuthNone} {
		s.add("dev1", func(r *iot.Registration) { r.Auth.Type = kind })
		_, err := s.authenticator().Authenticate(credentials("dev1", token(t, "dev1", "dev1"), ""))
		check(t, err, "not for tokens")
		_, err = s.authenticator().Authenticate(credentials("dev1/m", token(t, "dev1/m", "dev1"), ""))
		check(t, err, "not signed")
	}
}

func TestDisabled(t *testing.T) {
	for _, tt := range []struct{ off, identity, audience, refusal string }{
		{"dev1", "dev1", "dev1", "is disabled"},
		{"dev1", "dev1/m", "dev1/m", "device is disabled"},
		{"dev1/m", "dev1/m", "dev1/m", "is disabled"},
		{"dev1/m", "dev1", "dev1", ""},
		{"leaf", "leaf", "mid/$edgeHub", "is disabled"},
		{"mid", "leaf", "mid/$edgeHub", "disabled"},
		{"mid/$edgeHub", "leaf", "mid/$edgeHub", "disabled"},
		{"mid", "leaf", "top/$edgeHub", "mid above it is disabled"},
		{"top", "leaf", "top/$edgeHub", "disabled"},
		{"top", "leaf", "mid/$edgeHub", ""}, // what is above the actor is its own affair
	} {
		t.Run(tt.off+" disabled, "+tt.audience+" for "+tt.identity, func(t *testing.T) {
			s := newSite()
			id, _ := iot.ParseIdentity(tt.off)
			r := s[id]
			r.Enabled = false
			s[id] = r
			_, err := s.authenticator().Authenticate(credentials(tt.identity, token(t, tt.audience, tt.audience), ""))
			check(t, err, tt.refusal)
		})
	}
}

func TestZ7_ActingOnBehalf(t *testing.T) {
	a := newSite().authenticator()
	for _, tt := range []struct{ actor, target, chain, refusal string }{
		{"mid", "leaf", "", ""},
		{"mid", "leaf/m", "", ""},
		{"mid", "old", "", ""},
		{"mid", "mid", "", ""},
		{"mid", "mid/m", "", ""},
		{"top", "leaf", "", ""},
		{"top", "mid", "", ""},
		{"top", "mid/$edgeHub", "", ""},
		{"top", "sibling/$edgeHub", "", ""},
		{"mid", "top", "", "not in the scope"},
		{"mid", "top/$edgeHub", "", "not in the scope"},
		{"mid", "sibling", "", "not in the scope"},
		{"sibling", "leaf", "", "not in the scope"},
		{"sibling", "mid/m", "", "not in the scope"},
		{"mid", "stranger", "", "not in the scope"},

		{"mid", "leaf", "leaf;mid", ""},
		{"mid", "leaf/m", "leaf/m;mid", ""},
		{"mid", "leaf/m", "leaf/m;leaf;mid", ""},
		{"top", "leaf", "leaf;mid;top", ""},
		{"top", "mid/m", "mid/m;mid;top", ""},
		{"top", "mid", "mid;top", ""},
		{"top", "leaf", "leaf;top", "auth chain"},
		{"top", "leaf", "leaf;sibling;top", "auth chain"},
		{"top", "leaf", "stranger;mid;top", "auth chain"},
		{"top", "leaf", "leaf;mid;top;top", "auth chain"},
		{"top", "leaf", "leaf;mid;leaf;mid;top", "auth chain"},
		{"top", "leaf", "LEAF;mid;top", "auth chain"},
		{"top", "leaf", ";", "auth chain"},
		{"sibling", "leaf", "leaf;mid;sibling", "not in the scope"},
		{"top", "leaf", "leaf" + strings.Repeat(";mid", 1_000) + ";top", "auth chain"},
	} {
		t.Run(fmt.Sprintf("%s for %s by %.30q", tt.actor, tt.target, tt.chain), func(t *testing.T) {
			hub := tt.actor + "/$edgeHub"
			r, err := a.Authenticate(credentials(tt.target, token(t, hub, hub), tt.chain))
			check(t, err, tt.refusal)
			if err == nil && (r.Actor.String() != hub || r.Registration.Identity.String() != tt.target) {
				t.Errorf("result %+v", r)
			}
		})
	}
}

func TestZ7_Towers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		build   func(site)
		actor   string
		refusal string
	}{
		{"five gateways deep", func(s site) { tower(s, 5) }, "e5", ""},
		{"six gateways deep", func(s site) { tower(s, 6) }, "e6", "more than 5"},
		{"twenty gateways deep", func(s site) { tower(s, 20) }, "e20", "more than 5"},
		{"a circle", func(s site) { tower(s, 3); s.edge("e3", "e1") }, "e3", "circle"},
		{"its own parent", func(s site) { tower(s, 2); s.edge("e2", "e2") }, "e2", ""},
		{"a parent that is not known, and one that is", func(s site) { tower(s, 2); s.edge("e1", "gone", "e2") }, "e2", ""},
		{"a parent that is no edge device", func(s site) {
			tower(s, 2)
			s.add("e1", under("e2"))
		}, "e2", "not in the scope"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := site{}
			tt.build(s)
			hub := tt.actor + "/$edgeHub"
			_, err := s.authenticator().Authenticate(credentials("leaf", token(t, hub, hub), ""))
			check(t, err, tt.refusal)
		})
	}
}

// tower puts a leaf below e1, which stands below e2, and so on.
func tower(s site, height int) {
	s.add("leaf", under("e1"))
	for i := 1; i < height; i++ {
		s.edge(fmt.Sprintf("e%d", i), fmt.Sprintf("e%d", i+1))
	}
	s.edge(fmt.Sprintf("e%d", height))
}

func TestIsUnknown(t *testing.T) {
	s := newSite()
	delete(s, iot.DeviceIdentity("dev1"))
	delete(s, iot.ModuleIdentity("mid", "$edgeHub"))
	for name, want := range map[[2]string]bool{
		{"nobody", "nobody"}:         true,
		{"dev1/m", "dev1/m"}:         true, // its device is gone
		{"leaf", "mid/$edgeHub"}:     true, // the actor is not known yet
		{"stranger", "dev10"}:        false,
		{"stranger", "top/$edgeHub"}: false,
	} {
		_, err := s.authenticator().Authenticate(credentials(name[0], token(t, name[1], name[1]), ""))
		if err == nil || IsUnknown(err) != want {
			t.Errorf("%s with a token for %s: %v is unknown: %v, want %v", name[0], name[1], err, IsUnknown(err), want)
		}
	}
}

func TestBadIdentitiesAreRefused(t *testing.T) {
	a := newSite().authenticator()
	for _, id := range []iot.Identity{{}, {Module: "m"}, {Device: "a/b"}, {Device: "dev1", Module: "m\n"}} {
		_, err := a.Authenticate(iot.Credentials{Identity: id, Token: token(t, "dev1", "dev1")})
		if iot.KindOf(err) != iot.Unauthorized || err == nil {
			t.Errorf("%#v: %v", id, err)
		}
	}
}

func TestS12_RefusalsHoldNoSecret(t *testing.T) {
	a := newSite().authenticator()
	text := token(t, "dev1", "dev10")
	_, err := a.Authenticate(credentials("dev1", text, ""))
	var e *iot.Error
	if !errors.As(err, &e) || strings.Contains(err.Error(), "sig=") || strings.Contains(err.Error(), string(key("dev1"))) {
		t.Errorf("error %v", err)
	}
}

func BenchmarkAuthenticateOnBehalf(b *testing.B) {
	a := newSite().authenticator()
	text, _ := sas.Sign(key("mid/$edgeHub"), sas.Resource{Host: "hub.example", Identity: iot.ModuleIdentity("mid", "$edgeHub")}, "", now.Add(time.Hour))
	creds := credentials("leaf", text, "leaf;mid")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(creds); err != nil {
			b.Fatal(err)
		}
	}
}
