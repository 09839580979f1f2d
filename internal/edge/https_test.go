package edge

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/edge/config"
)

// The usual port of HTTPS needs a privilege, or may be another program's.
func TestWithoutAPortForHTTPSTheRestIsServed(t *testing.T) {
	s := newSite(t, "pump1")
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nothing was written
	cfg, err := config.Load(s.configure())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen.HTTPS = port(taken.Addr())
	if _, err := Open(cfg, s.log); err == nil || !strings.Contains(err.Error(), "https_port under [sluice.listen]") {
		t.Errorf("a configured port that is taken: %v", err)
	}
	e := s.open(func(c *config.Config) { c.Listen.HTTPS, c.Listen.HTTPSWished = port(taken.Addr()), false })
	s.run(e.Run)
	if at := e.HTTPSAddr(); at != nil {
		t.Errorf("HTTPS is served at %v", at)
	}
	s.connect("pump1", e.MQTTAddr().String(), nil)
}

func TestGatewayTellsThatItServes(t *testing.T) {
	s := newSite(t)
	e := s.open(nil)
	s.run(e.Run)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.trusted(), DisableKeepAlives: true}}
	r, err := client.Get("https://" + e.HTTPSAddr().String() + "/health")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close() // nothing is read from it
	if r.StatusCode != http.StatusOK {
		t.Errorf("status %d", r.StatusCode)
	}
}
