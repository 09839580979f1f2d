package gateway

import (
	"testing"
	"time"

	"sluice/internal/sas"
	"sluice/iot"
)

func TestS11_AGatewayBelowIsNotBlamedForThoseThatWereRemoved(t *testing.T) {
	below := iot.Registration{
		Identity: iot.DeviceIdentity("below"), Enabled: true, Edge: true,
		Scope: "ms-azure-iot-edge://below-1", ParentScopes: []string{edgeScope},
		Auth: iot.Authentication{Type: iot.AuthSAS, PrimaryKey: sas.NewKey()},
	}
	own := below
	own.Identity, own.Edge, own.Scope = iot.ModuleIdentity("below", iot.EdgeHubModule), false, ""
	s := newSite(t, newFakeParent(edgeDevice(), below, own))
	s.untilOnline()
	removed := iot.Credentials{Identity: iot.DeviceIdentity("removed"), AuthChain: "removed;below"}
	if s.gw.Vouched(removed, "192.0.2.5:2000") {
		t.Error("vouched before the gateway below is there")
	}
	token, err := sas.Sign(below.Auth.PrimaryKey, sas.Resource{Host: hubHost, Identity: own.Identity}, "", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	client := iot.Client{Protocol: "amqp", RemoteAddr: "192.0.2.5:1000"}
	if _, err := s.gw.Connect(s.ctx, iot.Credentials{Identity: own.Identity, Token: token}, client); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		chain, remote string
		want          bool
	}{
		{"removed;below", "192.0.2.5:2000", true},
		{"removed;deeper;below", "192.0.2.5:2000", true},
		{"removed;below", "192.0.2.6:2000", false},
		{"removed;other", "192.0.2.5:2000", false},
		{"", "192.0.2.5:2000", false},
		{"removed;below", "", false},
	} {
		removed.AuthChain = tt.chain
		if got := s.gw.Vouched(removed, tt.remote); got != tt.want {
			t.Errorf("chain %q from %q: %v", tt.chain, tt.remote, got)
		}
	}
}
