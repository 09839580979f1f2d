//go:build unix

package robust

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/sas"
	"sluice/iot"
)

// An attack is something that the gateway must refuse.
type attack struct {
	name   string
	do     func(*intruder) (net.Conn, error)
	answer []byte        // all that comes back before the connection ends
	limit  time.Duration // for its end; 0 is usual
	reason string        // in the log
	login  bool          // it logs in first
}

// usual is how long a refusal may take, and atLast how long the end of who is
// silent, which is due after ten seconds. A second is meant; these machines are
// shared.
const (
	usual  = 8 * time.Second
	atLast = 30 * time.Second
)

// An intruder has a device of its own at the gateway, and means harm.
type intruder struct {
	*site
	ctx    context.Context
	victim string // another device, whose id is no secret
	from   string // address; "" for another each time

	// seat is held by those who log in, because each login ends the one before.
	seat sync.Mutex
}

func connack(code byte) []byte { return []byte{0x20, 2, 0, code} }

func attacks() []attack {
	return []attack{
		{name: "M2 a silent socket", do: (*intruder).socket, limit: atLast, reason: "no CONNECT in time"},
		{name: "M2 silence after the handshake", do: (*intruder).handshake, limit: atLast, reason: "no CONNECT in time"},
		{name: "S2 half a handshake", do: bare("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), limit: atLast, reason: "no CONNECT in time"},
		{name: "S1 no TLS", do: bare(string(dialect{clientID: "device-01"}.connect())), reason: "tls: first record does not look like a TLS handshake"},
		{name: "S1 another protocol", do: bare("GET / HTTP/1.1\r\nHost: gateway\r\n\r\n"), reason: "tls: "},
		{name: "M16 garbage", do: first("\x00\xff\x13\x37garbage"), reason: "reason="},
		{name: "M1 a CONNECT of 240 MB", do: first("\x10\x80\x80\xb8\x72"), reason: "mqtt: "},
		{name: "M4 a length of five bytes", do: first("\x10\xff\xff\xff\xff\x7f"), reason: "mqtt: "},
		{name: "M14 a publication before CONNECT", do: first(string(publish("devices/idle/messages/events/", 1, 1, []byte("early"), false))), reason: "mqtt: "},
		{name: "M6 MQTT 5", do: first("\x10\x11\x00\x04MQTT\x05\xc2\x00\x3c\x00\x00\x01d\x00\x00\x00"), answer: connack(1), reason: "protocol"},
		{name: "M6 a second CONNECT", do: after(dialect{clientID: "idle"}.connect()), reason: "mqtt: ", login: true},
		{name: "M7 a topic with a wildcard", do: after(publish("devices/idle/#", 1, 1, nil, false)), reason: "mqtt: ", login: true},
		{name: "M10 QoS 2", do: after(publish(telemetry("idle"), 2, 1, []byte("twice"), false)), reason: "QoS 2", login: true},
		{name: "M13 a payload one byte too long", do: after(publish(telemetry("idle"), 1, 1, make([]byte, 256<<10+1), false)), reason: "mqtt: ", login: true},
		{name: "Z2 another device's topic", do: after(publish(telemetry("device-01"), 1, 1, []byte("not mine"), false)), reason: "device-01", login: true},
		{name: "Z2 a topic of nobody's", do: after(publish("some/topic", 1, 1, nil, false)), reason: "some/topic", login: true},
		{name: "S7 its own token for another device", do: (*intruder).impersonate, answer: connack(5), reason: "unauthorized"},
		{name: "S7 an expired token", do: (*intruder).expired, answer: connack(5), reason: "expired"},
		{name: "S7 a token for another hub", do: (*intruder).elsewhere, answer: connack(5), reason: "other.hub"},
		{name: "S7 another key", do: (*intruder).forge, answer: connack(5), reason: "unauthorized"},
		{name: "S7 garbage for a token", do: password("SharedAccessSignature sr=&&%%%&sig"), answer: connack(5), reason: "unauthorized"},
		{name: "S7 no token", do: password(""), answer: connack(5), reason: "token"},
		{name: "M15 client id and user name differ", do: (*intruder).twofold, answer: connack(2), reason: "same identity"},
		{name: "M15 a slash too many", do: named("idle/a/b"), answer: connack(2), reason: "client id"},
		{name: "M15 a control character", do: named("id\x01le"), answer: connack(2), reason: "client id"},
		{name: "Z1 a stranger", do: named("stranger"), answer: connack(5), reason: "stranger"},
	}
}

func (i *intruder) socket() (net.Conn, error) {
	return i.dialer().DialContext(i.ctx, "tcp", i.addr)
}

func (i *intruder) handshake() (net.Conn, error) {
	return (&tls.Dialer{Config: i.idle.tls, NetDialer: i.dialer()}).DialContext(i.ctx, "tcp", i.addr)
}

// dialer comes from the intruder's address or, if it has none, from another each
// time, as those do who command many machines: an address that keeps failing is
// soon not listened to any more. Where there is one loopback address, all come
// from there.
func (i *intruder) dialer() *net.Dialer {
	d := &net.Dialer{Timeout: 10 * time.Second}
	switch {
	case runtime.GOOS != "linux":
	case i.from != "":
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(i.from)}
	default:
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, byte(1+rand.N(200)), byte(rand.N(256)), byte(1+rand.N(250)))}
	}
	return d
}

// then sends bytes on a connection.
func then(c net.Conn, err error, text []byte) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	_, err = c.Write(text)
	return c, err
}

// bare sends bytes without TLS.
func bare(text string) func(*intruder) (net.Conn, error) {
	return func(i *intruder) (net.Conn, error) {
		c, err := i.socket()
		return then(c, err, []byte(text))
	}
}

// first sends bytes where a CONNECT belongs.
func first(text string) func(*intruder) (net.Conn, error) {
	return func(i *intruder) (net.Conn, error) {
		c, err := i.handshake()
		return then(c, err, []byte(text))
	}
}

// after sends bytes after a login that was right.
func after(text []byte) func(*intruder) (net.Conn, error) {
	return func(i *intruder) (net.Conn, error) {
		c, err := i.idle.connect(i.ctx)
		if err != nil {
			return nil, err
		}
		return then(c, nil, text)
	}
}

// login sends a CONNECT that was right before change.
func (i *intruder) login(change func(*dialect)) (net.Conn, error) {
	d, err := hello(hubName, "idle", i.idle.key)
	if err != nil {
		return nil, err
	}
	change(&d)
	return first(string(d.connect()))(i)
}

func password(text string) func(*intruder) (net.Conn, error) {
	return func(i *intruder) (net.Conn, error) { return i.login(func(d *dialect) { d.password = text }) }
}

// named logs in as somebody, with the token of idle.
func named(id string) func(*intruder) (net.Conn, error) {
	return func(i *intruder) (net.Conn, error) {
		return i.login(func(d *dialect) {
			d.user = strings.Replace(d.user, d.clientID, id, 1)
			d.clientID = id
		})
	}
}

func (i *intruder) impersonate() (net.Conn, error) { return named(i.victim)(i) }

func (i *intruder) twofold() (net.Conn, error) {
	return i.login(func(d *dialect) { d.clientID = i.victim })
}

// sign makes a token that is wrong in one respect.
func (i *intruder) sign(key iot.Secret, hub string, until time.Duration) (net.Conn, error) {
	token, err := sas.Sign(key, sas.Resource{Host: hub, Identity: iot.DeviceIdentity("idle")}, "", time.Now().Add(until))
	if err != nil {
		return nil, err
	}
	return password(token)(i)
}

func (i *intruder) expired() (net.Conn, error) { return i.sign(i.idle.key, hubName, -time.Hour) }

func (i *intruder) elsewhere() (net.Conn, error) { return i.sign(i.idle.key, "other.hub", time.Hour) }

func (i *intruder) forge() (net.Conn, error) {
	return i.sign(iot.Secret(base64.StdEncoding.EncodeToString([]byte("a guess at what the key might be"))), hubName, time.Hour)
}

// try carries an attack out, and checks what comes of it.
func (i *intruder) try(a attack) {
	if a.login {
		i.seat.Lock()
		defer i.seat.Unlock()
	}
	c, err := a.do(i)
	if err != nil {
		// A reset may be faster than what was to be sent.
		if c == nil || !isReset(err) {
			i.t.Errorf("%s: %v", a.name, err)
			return
		}
	}
	defer c.Close() //nolint:errcheck // is expected to have ended
	limit := cmp.Or(a.limit, usual)
	began := time.Now()
	_ = c.SetReadDeadline(began.Add(limit)) // of an open connection
	var got bytes.Buffer
	if _, err := io.Copy(&got, c); errors.Is(err, os.ErrDeadlineExceeded) {
		i.t.Errorf("%s: still connected after %v", a.name, limit)
	}
	if a.answer != nil && !bytes.Equal(got.Bytes(), a.answer) {
		i.t.Errorf("%s: answered % x, want % x", a.name, got.Bytes(), a.answer)
	}
	from := "remote=" + c.LocalAddr().String()
	if !i.gateway.says(patience, "connection ended", from, a.reason) {
		i.t.Errorf("%s: the log gives no reason with %q, but\n%s", a.name, a.reason, i.gateway.grep(from))
	}
}

func isReset(err error) bool {
	return strings.Contains(err.Error(), "reset") || errors.Is(err, net.ErrClosed)
}

func TestHostileClientsAreRefusedAndNobodyElseNotices(t *testing.T) {
	s := newSite(t, fleet(8))
	s.slow()
	s.load(func() {
		s.progress(100)
		p99(s.devices)
		wait(3 * time.Second)
		before, logins := p99(s.devices), s.logins()
		i := &intruder{site: s, ctx: t.Context(), victim: "device-01"}
		siege := 13 * time.Second
		if brief() {
			siege = time.Second
		}
		n := i.besiege(siege)
		during := p99(s.devices)
		t.Logf("%d attacks; p99 of the others %v before, %v meanwhile", n, before, during)
		if during > max(3*before, time.Second) {
			t.Errorf("the others' p99 went from %v to %v", before, during)
		}
		if s.logins() != logins {
			t.Errorf("%d of the others lost their connection", s.logins()-logins)
		}
	})
	s.verdict(inFlight(len(s.devices)))
	if n := s.judge.received(""); n > 0 {
		t.Errorf("%d messages of an intruder are at the hub", n)
	}
}

// besiege carries out all attacks again and again.
func (i *intruder) besiege(d time.Duration) int {
	end := time.Now().Add(d)
	var n atomic.Int64
	var wg sync.WaitGroup
	for _, a := range attacks() {
		wg.Go(func() {
			for again := true; again && !i.t.Failed(); again = time.Now().Before(end) && a.limit == 0 {
				i.try(a)
				n.Add(1)
				wait(50 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return int(n.Load())
}

func TestZ5_NobodyElsesTopicsCanBeSubscribed(t *testing.T) {
	s := newSite(t, fleet(1))
	c, err := s.idle.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // said all it had to
	for _, filter := range []string{
		"#", "+/#", "$iothub/#", "devices/+/messages/devicebound/#", "devices/device-01/messages/devicebound/#",
		"$share/x/devices/idle/messages/devicebound/#", "devices/idle/modules/m/inputs/#", "$SYS/#",
	} {
		if _, err := c.Write(subscribe(7, filter)); err != nil {
			t.Fatal(err)
		}
		kind, body, err := readPacket(c.in)
		if err != nil || kind != typeSuback || !bytes.Equal(body, []byte{0, 7, 0x80}) {
			t.Errorf("%s: packet %d % x, %v", filter, kind, body, err)
		}
	}
	c.ping(t)
}

// An intruder that guesses fast locks out neither the others nor the owner of the
// identity.
func TestS11_AFloodOfBadLoginsLocksNobodyOut(t *testing.T) {
	s := newSite(t, fleet(4))
	s.load(func() {
		s.progress(100)
		i := &intruder{site: s, ctx: t.Context(), victim: "device-01", from: "127.0.0.66"}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if c, err := i.forge(); err == nil {
						_ = c.Close() // without waiting for the answer
					}
				}
			})
		}
		before, logins := s.acknowledged(), s.logins()
		wg.Wait()
		if s.acknowledged() == before || s.logins() != logins {
			t.Error("the others noticed")
		}
		c, err := s.idle.connect(t.Context())
		if err != nil {
			t.Fatalf("the owner of the identity: %v", err)
		}
		c.ping(t)
		_ = c.Close() // said all it had to
	})
	s.verdict(inFlight(len(s.devices)))
}
