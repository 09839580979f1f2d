package gateway

import (
	"strings"
	"testing"
)

// A message for three endpoints takes the space of one: its bytes are stored once.
func TestAMessageForThreeEndpointsTakesTheSpaceOfOne(t *testing.T) {
	a := child("a")
	s := newSite(t, newFakeParent(edgeDevice(), a))
	s.untilOnline()
	s.routes(`{"routes":{
		"x":"FROM /messages/* INTO BrokeredEndpoint(\"/modules/m/inputs/x\")",
		"y":"FROM /messages/* INTO BrokeredEndpoint(\"/modules/m/inputs/y\")",
		"z":"FROM /messages/* INTO BrokeredEndpoint(\"/modules/m/inputs/z\")"}}`)
	session, err := s.connect(a.Identity, a.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	s.send(session, strings.Repeat("x", 10_000))
	records := uint64(0)
	for _, q := range s.gw.opt.Spool.Queues() {
		records += q.Stats().Records
	}
	if bytes := s.gw.opt.Spool.Stats().Bytes; records != 3 || bytes > 11_000 {
		t.Errorf("%d records of %d bytes, want 3 of about 10,000", records, bytes)
	}
}
