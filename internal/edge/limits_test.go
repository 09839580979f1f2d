package edge

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/await"
	"sluice/internal/edge/config"
)

// tryLogin logs in once with a password, from an address of this machine, and
// returns how it was refused.
func (s *site) tryLogin(id, password, addr, from string) error {
	s.t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	o := paho.NewClientOptions().AddBroker("ssl://" + addr).SetClientID(id).SetProtocolVersion(4).
		SetUsername(s.hub.HostName() + "/" + id + "/?api-version=2021-04-12").SetPassword(password).
		SetTLSConfig(s.trusted()).SetAutoReconnect(false).SetConnectTimeout(patience).SetDialer(dialer)
	client := paho.NewClient(o)
	k := client.Connect()
	if !k.WaitTimeout(patience) {
		s.t.Fatal("neither in nor refused")
	}
	client.Disconnect(0)
	return k.Error()
}

func TestS11_BadLoginsFromOneAddress(t *testing.T) {
	s := newSite(t, "pump1", "pump2")
	e := s.open(func(c *config.Config) {
		c.Limits.FailedLogins, c.Limits.FailedLoginRate = 20, 0.001
		c.Metrics = config.Metrics{Address: "127.0.0.1:0", Wished: true}
	})
	s.run(e.Run)
	s.learned(e) // who comes before fails, and that counts
	addr := e.MQTTAddr().String()
	inside := s.connect("pump1", addr, nil)
	for range 200 {
		err := s.tryLogin("pump1", "SharedAccessSignature sr=x&sig=x&se=1", addr, "127.0.0.2")
		if err == nil {
			t.Fatal("let in with a wrong token")
		}
		if e.addresses.Refused.Load() > 0 {
			break
		}
	}
	refused := e.gateway.Counts().ConnectFailed.Load()
	if refused < 20 || refused > 21 {
		t.Errorf("turned away after %d bad logins, want 20", refused)
	}
	for range 20 {
		if err := s.tryLogin("pump1", "wrong", addr, "127.0.0.2"); err == nil {
			t.Fatal("let in with a wrong token")
		}
	}
	if n := e.gateway.Counts().ConnectFailed.Load(); n != refused {
		t.Errorf("%d more bad logins were judged", n-refused)
	}
	inside.send("from the identity that was attacked, which is inside")
	s.connect("pump2", addr, nil).send("from another, who comes now")
	s.connect("pump1", addr, nil).send("from the identity that was attacked, which comes again")
	if _, text := get(t, "http://"+e.MetricsAddr().String()+"/metrics"); !strings.Contains(text, "sluice_turned_away_total{") {
		t.Error("no metric of it")
	}
}

func TestS11_ClientsThatDoNoTLSAreLimitedAndLookersAreNot(t *testing.T) {
	s := newSite(t, "pump1")
	e := s.open(func(c *config.Config) { c.Limits.FailedLogins, c.Limits.FailedLoginRate = 5, 0.001 })
	s.run(e.Run)
	s.learned(e) // who comes before fails, and that counts
	addr := e.MQTTAddr().String()
	visit := func(say string) (answered bool) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, say); err != nil {
			return false
		}
		if say == "" {
			return true
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		n, _ := io.Copy(io.Discard, c)
		return n > 0 // an alert
	}
	for range 50 {
		visit("")
	}
	s.connect("pump1", addr, nil).send("after those who look whether the port is open")
	answered := 0
	for range 50 {
		if visit("GET / HTTP/1.1\r\n\r\n") {
			answered++
		}
		if e.addresses.Refused.Load() > 0 {
			break
		}
	}
	if answered > 10 || e.addresses.Refused.Load() == 0 {
		t.Errorf("%d were answered, %d turned away", answered, e.addresses.Refused.Load())
	}
	if c, err := tls.Dial("tcp", addr, s.trusted()); err == nil {
		_ = c.Close()
		t.Error("a handshake goes on in the penalty")
	}
}

func TestASenderAboveItsRateIsSlowedAndLosesNothing(t *testing.T) {
	s := newSite(t, "pump1")
	e := s.open(func(c *config.Config) { c.Limits.MessageRate = 50 })
	s.run(e.Run)
	d := s.connect("pump1", e.MQTTAddr().String(), nil)
	const n = 600 // 500 may come at once
	began := time.Now()
	var sent []string
	var tokens []paho.Token
	for i := range n {
		sent = append(sent, fmt.Sprint("message ", i))
		tokens = append(tokens, d.publish(sent[i]))
	}
	for _, k := range tokens {
		if !k.WaitTimeout(patience) || k.Error() != nil {
			t.Fatal("not acknowledged: ", k.Error())
		}
	}
	if took := time.Since(began); took < 1900*time.Millisecond {
		t.Errorf("%d messages took %v, want two seconds", n, took)
	}
	// A new connection is no new beginning: the rate is that of both together, however
	// long connecting takes.
	again := s.connect("pump1", e.MQTTAddr().String(), nil)
	for i := range 50 {
		sent = append(sent, fmt.Sprint("again ", i))
		again.send(sent[len(sent)-1])
	}
	if took := time.Since(began); took < 2900*time.Millisecond {
		t.Errorf("%d messages over both connections took %v, want three seconds", len(sent), took)
	}
	s.expect(sent)
}

func TestD12_StoppingAcknowledgesWhatASlowedSenderHasStored(t *testing.T) {
	s := newSite(t, "pump1")
	e := s.open(func(c *config.Config) { c.Limits.MessageRate = 1 }) // 10 at once
	stop := s.run(e.Run)
	d := s.connect("pump1", e.MQTTAddr().String(), nil)
	var tokens []paho.Token
	for i := range 60 {
		tokens = append(tokens, d.publish(fmt.Sprint("message ", i)))
	}
	await.True(t, "all are stored", func() bool { return e.gateway.Counts().Received.Load() >= 60 })
	stop()
	for i, k := range tokens {
		if !k.WaitTimeout(patience) || k.Error() != nil {
			t.Fatalf("message %d is stored and was not acknowledged: %v", i, k.Error())
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestMetricsAndHealthOfARunningGateway(t *testing.T) {
	s := newSite(t, "pump1")
	e := s.open(func(c *config.Config) { c.Metrics = config.Metrics{Address: "127.0.0.1:0", Wished: true} })
	s.run(e.Run)
	s.connect("pump1", e.MQTTAddr().String(), nil).send("hello")
	s.expect([]string{"hello"})
	url := "http://" + e.MetricsAddr().String()
	if code, text := get(t, url+"/health"); code != http.StatusOK || !strings.Contains(text, `"ready":true,"uplink":"up","clients":1`) {
		t.Errorf("health: %d %s", code, text)
	}
	late := time.After(patience)
	for { // the hub's acknowledgement comes after the hub has it
		_, text := get(t, url+"/metrics")
		missing := ""
		for _, want := range []string{
			`edgehub_messages_received_total{edge_device="edge1",id="pump1",`,
			`edgehub_messages_sent_total{edge_device="edge1",from="pump1",from_route_output="",`,
			`edgehub_message_process_duration_seconds{edge_device="edge1",from="pump1",`,
			`edgehub_message_send_duration_seconds{edge_device="edge1",from="pump1",`,
			`edgehub_message_size_bytes{edge_device="edge1",id="pump1",`,
			`edgehub_client_connect_success_total{edge_device="edge1",id="pump1",`,
		} {
			if !strings.Contains(text, want) {
				missing = want
			}
		}
		if missing == "" {
			return
		}
		select {
		case <-late:
			t.Fatalf("no %s in\n%s", missing, text)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestTwoGatewaysOnAMachineShareNoMetrics(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, wished := range []bool{false, true} {
		s := newSite(t)
		cfg, err := config.Load(s.configure())
		if err != nil {
			t.Fatal(err)
		}
		cfg.Metrics = config.Metrics{Address: taken.Addr().String(), Wished: wished}
		e, err := Open(cfg, s.log)
		switch {
		case wished && err == nil:
			t.Error("a configured address that is taken is no error")
		case wished:
			if !strings.Contains(err.Error(), "[sluice.metrics]") {
				t.Errorf("%v: does not say what to change", err)
			}
			continue
		case err != nil || e.MetricsAddr() != nil:
			t.Errorf("the usual address is taken: %v", err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
