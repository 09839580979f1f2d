package gateway

import (
	"context"
	"strings"
	"testing"
	"time"

	"sluice/internal/sas"
	"sluice/iot"
)

// filesParent is a hub that says whose proof it was shown.
type filesParent struct {
	*fakeParent
	shown []iot.Credentials
}

func (p *filesParent) BeginUpload(_ context.Context, creds iot.Credentials, name string) (iot.Upload, error) {
	p.shown = append(p.shown, creds)
	return iot.Upload{ID: "1", Blob: creds.Identity.Device + "/" + name}, nil
}

func (p *filesParent) EndUpload(_ context.Context, creds iot.Credentials, _ iot.UploadResult) error {
	p.shown = append(p.shown, creds)
	return nil
}

func TestTheHubIsAskedAboutFilesForADevice(t *testing.T) {
	leaf, below := child("leaf"), child("below")
	below.Edge, below.Scope = true, "ms-azure-iot-edge://below-1"
	belowHub := below
	belowHub.Identity, belowHub.Edge, belowHub.Scope, belowHub.ParentScopes = iot.ModuleIdentity("below", iot.EdgeHubModule), false, "", nil
	deep := child("deep")
	deep.ParentScopes = []string{below.Scope}
	s := newSite(t, newFakeParent(edgeDevice(), leaf, below, belowHub, deep))
	s.untilOnline()
	parent := &filesParent{fakeParent: s.parent}
	s.gw.opt.Parent = parent
	sign := func(host string, as iot.Identity, key iot.Secret) string {
		token, err := sas.Sign(key, sas.Resource{Host: host, Identity: as}, "", time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	begin := func(id iot.Identity, token string) error {
		_, err := s.gw.BeginUpload(s.ctx, iot.Credentials{Identity: id, Token: token}, "a")
		return err
	}
	own := sign(hubHost, leaf.Identity, leaf.Auth.PrimaryKey)
	for _, c := range []struct {
		name  string
		id    iot.Identity
		token string
		chain string // of what the hub is shown; "" for the device's own token
	}{
		{"a token for the hub", leaf.Identity, own, ""},
		{"a token for the gateway", leaf.Identity, sign("gateway.test", leaf.Identity, leaf.Auth.PrimaryKey), "leaf;edge"},
		{"a gateway below", deep.Identity, sign(hubHost, belowHub.Identity, below.Auth.PrimaryKey), "deep;below;edge"},
	} {
		parent.shown = nil
		if err := begin(c.id, c.token); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := parent.shown[0]
		vouched := strings.Contains(got.Token, "edgeHub") && got.Token != c.token
		if got.Identity != c.id || got.AuthChain != c.chain || (c.chain == "") != (got.Token == c.token) || (c.chain != "") != vouched {
			t.Errorf("%s: the hub was shown %v, chain %q, vouched for: %v", c.name, got, got.AuthChain, vouched)
		}
	}
	parent.shown = nil
	if err := begin(leaf.Identity, sign(hubHost, leaf.Identity, sas.NewKey())); iot.KindOf(err) != iot.Unauthorized || parent.shown != nil {
		t.Errorf("a proof that fails: %v", err)
	}
	s.goAway()
	if err := begin(leaf.Identity, own); iot.KindOf(err) != iot.Unavailable {
		t.Errorf("while the hub is away: %v", err)
	}
	err := s.gw.EndUpload(s.ctx, iot.Credentials{Identity: leaf.Identity, Token: own}, iot.UploadResult{ID: "1"})
	if iot.KindOf(err) != iot.Unavailable || parent.shown != nil {
		t.Errorf("while the hub is away: %v", err)
	}
}
