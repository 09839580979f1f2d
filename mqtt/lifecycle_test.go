package mqtt_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/mqtt"
	"sluice/mqtt/internal/packet"
	"sluice/mqtt/mqttmem"
)

// open reports whether the server still holds the other end of a pipe. Inside a
// synctest bubble.
func open(w *wire) bool {
	synctest.Wait()
	_ = w.SetReadDeadline(time.Now().Add(time.Nanosecond))
	_, err := w.Read(make([]byte, 100))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestM2_ConnectTimeoutIsAbsolute(t *testing.T) {
	serverTLS, _ := certificate(t)
	hello := (&packet.Connect{ClientID: "dev1", CleanSession: true}).Append(nil)
	clientHello := append([]byte{22, 3, 1, 0, 200, 1, 0, 0, 196}, make([]byte, 100)...)
	for _, tt := range []struct {
		name string
		tls  *tls.Config
		drip []byte // a byte every five seconds
	}{
		{"silent TCP", nil, nil},
		{"silent TLS", serverTLS, nil},
		{"CONNECT one byte per 5 s", nil, hello},
		{"S2 handshake one byte per 5 s", serverTLS, clientHello},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := new(keeper)
				w := dial(t, &mqtt.Server{Backend: k, TLS: tt.tls})
				for i := range 2 {
					if tt.drip != nil {
						w.send(tt.drip[i : i+1])
					}
					time.Sleep(5*time.Second - time.Millisecond)
				}
				if !open(w) {
					t.Fatal("closed early")
				}
				time.Sleep(2*time.Millisecond + time.Millisecond)
				if open(w) {
					t.Fatal("still open after 10 s")
				}
			})
		})
	}
}

func TestM5_KeepAliveIsOneAndAHalfTimesWithinTheLimit(t *testing.T) {
	for _, tt := range []struct {
		keepAlive uint16
		want      time.Duration
	}{
		{0, 10 * time.Minute},
		{1, 1500 * time.Millisecond},
		{60, 90 * time.Second},
		{400, 10 * time.Minute},
		{401, 10 * time.Minute},
		{43690, 10 * time.Minute},
		{43691, 10 * time.Minute},
		{65535, 10 * time.Minute},
	} {
		t.Run(fmt.Sprint(tt.keepAlive), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := new(keeper)
				w := dial(t, &mqtt.Server{Backend: k})
				w.send((&packet.Connect{ClientID: "d", CleanSession: true, KeepAlive: tt.keepAlive}).Append(nil))
				w.want("CONNACK 0 session-present=false")
				time.Sleep(tt.want - time.Millisecond)
				if !open(w) {
					t.Fatal("closed early")
				}
				time.Sleep(2 * time.Millisecond)
				if open(w) || !errors.Is(k.reasons()[0], mqtt.ErrKeepAlive) {
					t.Fatal("not closed in time")
				}
			})
		})
	}
}

// A packet that grows is a sign of life; one that drips is not.
func TestKeepAliveCountsProgress(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bytes int
		open  bool
	}{{"2000 bytes a second", 2000, true}, {"10 bytes a second", 10, false}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := dial(t, &mqtt.Server{Backend: new(keeper)})
				w.send((&packet.Connect{ClientID: "d", CleanSession: true, KeepAlive: 2}).Append(nil))
				w.want("CONNACK 0 session-present=false")
				p := publishPacket(t, "t", make([]byte, 200_000), 1)
				for i := range 10 {
					w.send(p[i*tt.bytes : (i+1)*tt.bytes])
					time.Sleep(time.Second)
				}
				if got := open(w); got != tt.open {
					t.Errorf("open: %t, want %t", got, tt.open)
				}
			})
		})
	}
}

func TestB1_SlowSubscriberIsCutOffAndHoldsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := new(keeper)
		w := connect(t, &mqtt.Server{Backend: k})
		held := 0
		for {
			_, err := k.conns[0].Publish(mqtt.Message{Topic: "t", Payload: make([]byte, 10_000)}, nil)
			if errors.Is(err, mqtt.ErrFull) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			held += 10_000
			synctest.Wait()
		}
		if held < 64<<10 || held > 1<<20 {
			t.Errorf("%d bytes are held for a client that does not read", held)
		}
		for range 9 {
			if _, err := io.ReadFull(w, make([]byte, 1)); err != nil {
				t.Fatalf("cut off early: %v", err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if got := k.reasons(); len(got) != 1 || !errors.Is(got[0], mqtt.ErrWriteTimeout) {
			t.Errorf("reasons %v, want the write timeout", got)
		}
	})
}

// A client that asks and does not read is not read from.
func TestB1_AnswersThatAreNotReadAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := new(keeper)
		w := connect(t, &mqtt.Server{Backend: k})
		sent := 0
		_ = w.SetWriteDeadline(time.Now().Add(5 * time.Second))
		for {
			n, err := w.Write(bytesOf([]byte{0xc0, 0}, 5000))
			sent += n
			if err != nil {
				break
			}
		}
		if sent > 512<<10 {
			t.Errorf("%d bytes of PINGREQ were read, whose answers nobody took", sent)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if got := k.reasons(); len(got) != 1 || !errors.Is(got[0], mqtt.ErrWriteTimeout) {
			t.Errorf("reasons %v, want the write timeout", got)
		}
	})
}

func TestB8_SendersFasterThanTheDiskAreHeldBack(t *testing.T) {
	for _, tt := range []struct {
		name             string
		payload          int
		atLeast, atMost  int // publications taken
		keepAliveExpires bool
	}{
		{"small messages", 10, 256, 256, false},
		{"large messages", 200_000, 6, 6, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &keeper{hold: true}
				w := dial(t, &mqtt.Server{Backend: k})
				w.send((&packet.Connect{ClientID: "d", CleanSession: true, KeepAlive: 1}).Append(nil))
				w.want("CONNACK 0 session-present=false")
				const n = 1000
				go func() {
					for i := range n {
						_, _ = w.Write(publishPacket(t, "t", make([]byte, tt.payload), uint16(i+1)))
					}
				}()
				time.Sleep(time.Minute) // the client is not at fault: its keep-alive does not count
				synctest.Wait()
				if got := len(k.kept()); got < tt.atLeast || got > tt.atMost {
					t.Errorf("%d publications are held, want %d to %d", got, tt.atLeast, tt.atMost)
				}
				for i := range n {
					synctest.Wait()
					k.kept()[i].Ack(nil)
					w.want(fmt.Sprintf("PUBACK %d", i+1))
				}
			})
		})
	}
}

func TestReadyComesWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready, acked := 0, 0
		k := &keeper{onReady: func() { ready++ }}
		w := connect(t, &mqtt.Server{Backend: k})
		conn := k.conns[0]
		publish := func() error {
			_, err := conn.Publish(mqtt.Message{Topic: "t", QoS: 1}, func(err error) {
				if err == nil {
					acked++
				}
			})
			return err
		}
		for i := range 16 {
			if err := publish(); err != nil {
				t.Fatal(err)
			}
			w.want(fmt.Sprintf("PUBLISH t  qos=1 id=%d", i+1))
		}
		if err := publish(); !errors.Is(err, mqtt.ErrFull) {
			t.Fatalf("message 17: %v", err)
		}
		synctest.Wait()
		if ready != 1 {
			t.Fatalf("%d times ready before there was room", ready-1)
		}
		w.send([]byte{0x40, 2, 0, 7, 0x40, 2, 0, 8})
		synctest.Wait()
		if ready != 2 || acked != 2 {
			t.Errorf("ready %d times, %d acknowledged; want 1 and 2", ready-1, acked)
		}
		if err := publish(); err != nil {
			t.Error(err)
		}
		w.want("PUBLISH t  qos=1 id=17")
	})
}

func TestL1_ConnectionsLeaveNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	k := new(keeper)
	server := &mqtt.Server{Backend: k}
	hello := (&packet.Connect{ClientID: "dev1", CleanSession: true}).Append(nil)
	for i := range 10_000 {
		client, conn := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() { _ = server.ServeConn(t.Context(), conn) })
		if _, err := client.Write(hello); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			_, _ = client.Write([]byte{0xe0, 0})
		}
		_ = client.Close()
		wg.Wait()
	}
	if got := len(k.reasons()); got != 10_000 {
		t.Errorf("%d sessions were told of their end", got)
	}
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
	if got := server.Stats.Open.Load(); got != 0 {
		t.Errorf("%d connections are counted as open", got)
	}
}

func TestL2_OneOfManyLoginsSurvives(t *testing.T) {
	server := &mqtt.Server{Backend: new(mqttmem.Broker)}
	addr := serve(t, server)
	var wg sync.WaitGroup
	for range 100 {
		w := &wire{dialTCP(t, addr), t}
		wg.Go(func() { w.send((&packet.Connect{ClientID: "dev1", CleanSession: true}).Append(nil)) })
	}
	wg.Wait()
	waitFor(t, "all but one to be closed", func() bool {
		return server.Stats.Sessions.Load() == 100 && server.Stats.Open.Load() == 1
	})
}

// safeBuffer is a log that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestL5_APanicCostsOneConnection(t *testing.T) {
	hello := (&packet.Connect{ClientID: "dev1", CleanSession: true}).Append(nil)
	publish := publishPacket(t, "t", []byte("boom"), 1)
	subscribe := packet.AppendSubscribe(nil, 1, []packet.Filter{{Topic: "t"}})
	for _, tt := range []struct {
		name   string
		plant  func(*keeper)
		send   []byte
		closed int // sessions that were told
	}{
		{"in Connect", func(k *keeper) { k.onConnect = func(*mqtt.Connect, *mqtt.Conn) error { panic("planted") } }, hello, 0},
		{"in Publish", func(k *keeper) { k.onPublish = func([]mqtt.Publish) { panic("planted") } }, append(hello, publish...), 1},
		{"in Subscribe", func(k *keeper) { k.onSubscribe = func([]mqtt.Filter) { panic("planted") } }, append(hello, subscribe...), 1},
		{"in Ready", func(k *keeper) { k.onReady = func() { panic("planted") } }, hello, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log safeBuffer
			k := new(keeper)
			server := &mqtt.Server{Backend: k, Log: slog.New(slog.NewTextHandler(&log, nil))}
			other := connect(t, server)
			tt.plant(k)
			w := dial(t, server)
			w.send(tt.send)
			w.wantEOF()
			waitFor(t, "the end", func() bool { return server.Stats.Open.Load() == 1 && len(k.reasons()) == tt.closed })
			for _, reason := range k.reasons() {
				if !errors.Is(reason, mqtt.ErrPanic) {
					t.Errorf("reason %v", reason)
				}
			}
			if n := strings.Count(log.String(), "planted"); n != 1 || server.Stats.Panics.Load() != 1 {
				t.Errorf("logged %d times, counted %d", n, server.Stats.Panics.Load())
			}
			other.ping()
		})
	}
}

func TestL5_APanicInDoneCostsOneConnection(t *testing.T) {
	k := new(keeper)
	server := &mqtt.Server{Backend: k}
	w := connect(t, server)
	for _, qos := range []mqtt.QoS{0, 1} {
		if _, err := k.conns[0].Publish(mqtt.Message{Topic: "t", QoS: qos}, func(error) { panic("planted") }); err != nil {
			t.Fatal(err)
		}
	}
	w.wantEOF()
	waitFor(t, "the end", func() bool { return len(k.reasons()) == 1 && server.Stats.Open.Load() == 0 })
}

// starving is a listener that has no descriptors for a while.
type starving struct {
	net.Listener
	mu       sync.Mutex
	refusals int
	calls    int
	conns    chan net.Conn
	closed   chan struct{}
}

func (l *starving) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.calls++
	refuse := l.calls <= l.refusals
	l.mu.Unlock()
	if refuse {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", syscall.EMFILE)}
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *starving) Close() error { close(l.closed); return nil }

func TestF8_AcceptPausesWithoutDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &starving{refusals: 20, conns: make(chan net.Conn), closed: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error)
		go func() { served <- (&mqtt.Server{Backend: new(keeper)}).Serve(ctx, l) }()
		start := time.Now()
		client, conn := net.Pipe()
		l.conns <- conn
		if waited := time.Since(start); waited < 10*time.Second || waited > 20*time.Second {
			t.Errorf("20 refusals took %v", waited)
		}
		(&wire{client, t}).login("dev1")
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestMaxConnectionsPausesAccept(t *testing.T) {
	server := &mqtt.Server{Backend: new(keeper), Limits: mqtt.Limits{MaxConnections: 2}}
	addr := serve(t, server)
	var wires []*wire
	for range 3 {
		wires = append(wires, &wire{dialTCP(t, addr), t})
	}
	wires[0].login("a")
	wires[1].login("b")
	if got := server.Stats.Accepted.Load(); got != 2 {
		t.Errorf("%d connections were accepted", got)
	}
	_ = wires[0].Close()
	wires[2].login("c")
}

func TestShutdownAcknowledgesWhatWasTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	k := &keeper{hold: true}
	served := make(chan error)
	go func() { served <- (&mqtt.Server{Backend: k}).Serve(ctx, l) }()
	w := &wire{dialTCP(t, l.Addr()), t}
	w.login("dev1")
	w.send(append(publishPacket(t, "t", nil, 1), publishPacket(t, "t", nil, 2)...))
	waitFor(t, "the publications", func() bool { return len(k.kept()) == 2 })
	cancel()
	for _, p := range k.kept() {
		p.Ack(nil)
	}
	w.want("PUBACK 1")
	w.want("PUBACK 2")
	w.wantEOF()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if got := k.reasons(); len(got) != 1 || !errors.Is(got[0], mqtt.ErrServerClosed) {
		t.Errorf("reasons %v", got)
	}
}

func TestServerRefusesImpossibleSettings(t *testing.T) {
	for _, s := range []*mqtt.Server{
		{},
		{Backend: new(keeper), Limits: mqtt.Limits{MaxPayload: -1}},
		{Backend: new(keeper), Limits: mqtt.Limits{WriteTimeout: -1}},
		{Backend: new(keeper), Limits: mqtt.Limits{MaxOutbound: 5000}},
	} {
		_, conn := net.Pipe()
		if err := s.ServeConn(t.Context(), conn); err == nil {
			t.Errorf("%+v is taken", s.Limits)
		}
	}
}

func TestS12_PasswordsAreNotLogged(t *testing.T) {
	var log safeBuffer
	server := &mqtt.Server{Backend: &keeper{onConnect: func(c *mqtt.Connect, _ *mqtt.Conn) error {
		slog.New(slog.NewTextHandler(&log, nil)).Info("connect", "connect", c, "text", fmt.Sprint(c))
		return &mqtt.ConnectError{Code: mqtt.CodeBadCredentials, Err: errors.New("no")}
	}}, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	w := dial(t, server)
	w.send((&packet.Connect{ClientID: "d", CleanSession: true, HasUsername: true, Username: "u", Password: []byte("hunter2")}).Append(nil))
	w.want("CONNACK 4 session-present=false")
	w.wantEOF()
	waitFor(t, "the log", func() bool { return strings.Contains(log.String(), "bad user name or password") })
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("the password is in the log: %s", log.String())
	}
}
