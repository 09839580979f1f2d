package upstream

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/iot"
	"sluice/mqtt"
)

func messages(n int) []iot.Message {
	batch := make([]iot.Message, n)
	for i := range batch {
		batch[i].Body = fmt.Appendf(nil, "%d", i)
		batch[i].Properties.Set("n", fmt.Sprint(i))
	}
	return batch
}

func TestBatchesArriveInOrderAndAreReportedOnce(t *testing.T) {
	h := startHub(t, nil)
	s := dial(t, h.client(t, nil), nil)
	done := make(chan error, 100)
	var want []string
	for i := range 20 {
		s.Send([]iot.Message{{Body: fmt.Appendf(nil, "%da", i)}, {Body: fmt.Appendf(nil, "%db", i)}}, func(err error) { done <- err })
		want = append(want, fmt.Sprintf("%da", i), fmt.Sprintf("%db", i))
	}
	for range 20 {
		if err := await.Value(t, done, "the acknowledgement"); err != nil {
			t.Fatal(err)
		}
	}
	if _, got := h.conn(0).received(); !slices.Equal(got, want) {
		t.Errorf("the hub has %q, want %q", got, want)
	}
	if len(done) != 0 {
		t.Errorf("%d further calls of done", len(done))
	}
}

func TestTheWireIsWhatAHubExpects(t *testing.T) {
	h := startHub(t, nil)
	s := dial(t, h.client(t, nil), nil)
	done := make(chan error, 1)
	m := iot.Message{Body: []byte("{}")}
	m.System.Set(iot.MessageID, "id 1")
	m.System.Set(iot.ContentType, "application/json")
	m.Properties.Set("a&b", "ü/?")
	s.Send([]iot.Message{m}, func(err error) { done <- err })
	if err := await.Value(t, done, "the acknowledgement"); err != nil {
		t.Fatal(err)
	}
	c := h.connect(0)
	if want := "hub.test/leaf/?api-version=2021-04-12&DeviceClientType=a+product&auth-chain=leaf%3Bedge"; c.Username != want {
		t.Errorf("user name %q, want %q", c.Username, want)
	}
	if c.ClientID != "leaf" || !c.CleanSession || string(c.Password) != "SharedAccessSignature …" {
		t.Errorf("CONNECT %+v", c)
	}
	topics, _ := h.conn(0).received()
	if want := "devices/leaf/messages/events/$.mid=id%201&$.ct=application%2Fjson&a%26b=%C3%BC%2F%3F"; topics[0] != want {
		t.Errorf("topic %q, want %q", topics[0], want)
	}
}

func TestARefusalIsToldFromAnAbsence(t *testing.T) {
	for _, tt := range []struct {
		code mqtt.ConnectCode
		want iot.Kind
	}{
		{mqtt.CodeNotAuthorized, iot.Unauthorized},
		{mqtt.CodeBadCredentials, iot.Unauthorized},
		{mqtt.CodeIdentifierRejected, iot.Unauthorized},
		{mqtt.CodeServerUnavailable, iot.Unavailable},
		{mqtt.CodeProtocolVersion, iot.Invalid},
	} {
		t.Run(tt.code.String(), func(t *testing.T) {
			h := startHub(t, nil)
			h.refuse = &mqtt.ConnectError{Code: tt.code, Err: errors.New("no")}
			_, err := h.client(t, nil).Connect(t.Context(), iot.Credentials{Identity: iot.DeviceIdentity("leaf"), Token: "t"}, iot.Client{})
			if got := iot.KindOf(err); got != tt.want {
				t.Errorf("%v is %v, want %v", err, got, tt.want)
			}
		})
	}
}

func TestAStrangerIsNotTrusted(t *testing.T) {
	h := startHub(t, nil)
	for name, change := range map[string]func(*Options){
		"another name":      func(o *Options) { o.HostName = "other.test" },
		"unknown authority": func(o *Options) { o.Roots = x509.NewCertPool() },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.client(t, change).Connect(t.Context(), iot.Credentials{Identity: iot.DeviceIdentity("leaf"), Token: "t"}, iot.Client{})
			var name x509.HostnameError
			var authority x509.UnknownAuthorityError
			if !errors.As(err, &name) && !errors.As(err, &authority) || iot.KindOf(err) != iot.Unavailable {
				t.Errorf("error %v", err)
			}
		})
	}
	if len(h.connects) != 0 {
		t.Error("a token was sent to a stranger")
	}
}

func TestWhatIsInFlightFailsWithTheConnection(t *testing.T) {
	h := startHub(t, nil)
	h.publish = func(c *fakeConn, p *mqtt.Publish) {
		if string(p.Payload) == "3" {
			c.conn.Close(errors.New("enough"))
			return
		}
		c.hold(p)
	}
	ended := make(chan error, 2)
	s := dial(t, h.client(t, nil), func(err error) { ended <- err })
	done := make(chan error, 10)
	for _, m := range messages(5) {
		s.Send([]iot.Message{m}, func(err error) { done <- err })
	}
	for range 5 {
		if err := await.Value(t, done, "the failure"); err == nil {
			t.Error("a message that was never acknowledged is reported as safe")
		}
	}
	if err := await.Value(t, ended, "Ended"); iot.KindOf(err) != iot.Unavailable {
		t.Errorf("ended with %v", err)
	}
	s.Send(messages(1), func(err error) { done <- err })
	if err := await.Value(t, done, "the failure"); err == nil {
		t.Error("a dead session took a message")
	}
	if err := s.Close(); err != nil || len(ended) != 0 {
		t.Errorf("Close: %v, and %d further calls of Ended", err, len(ended))
	}
}

func TestU11_ASilentHubIsTakenForDead(t *testing.T) {
	h := startHub(t, nil)
	h.publish = func(c *fakeConn, p *mqtt.Publish) { c.hold(p) }
	ended := make(chan error, 1)
	s := dial(t, h.client(t, func(o *Options) { o.AckTimeout = 50 * time.Millisecond }), func(err error) { ended <- err })
	done := make(chan error, 1)
	s.Send(messages(1), func(err error) { done <- err })
	if err := await.Value(t, done, "the failure"); iot.KindOf(err) != iot.Timeout {
		t.Errorf("done got %v, want a timeout", err)
	}
	if err := await.Value(t, ended, "Ended"); iot.KindOf(err) != iot.Timeout {
		t.Errorf("ended with %v", err)
	}
}

func TestSendWaitsForTheWindow(t *testing.T) {
	h := startHub(t, nil)
	arrived := make(chan string, 10)
	h.publish = func(c *fakeConn, p *mqtt.Publish) { c.hold(p); arrived <- string(p.Payload) }
	s := dial(t, h.client(t, func(o *Options) { o.Window = 2 }), nil)
	done := make(chan error, 1)
	returned := make(chan struct{})
	go func() {
		s.Send(messages(3), func(err error) { done <- err })
		close(returned)
	}()
	await.Value(t, arrived, "the first message")
	await.Value(t, arrived, "the second message")
	select {
	case <-returned:
		t.Fatal("a third message passed a window of two")
	case <-done:
		t.Fatal("done before anything was acknowledged")
	default:
	}
	h.conn(0).release()
	if got := await.Value(t, arrived, "the third message"); got != "2" {
		t.Errorf("message %q, want 2", got)
	}
	await.Value(t, returned, "the return of Send")
	h.conn(0).release()
	if err := await.Value(t, done, "the acknowledgement"); err != nil {
		t.Error(err)
	}
}

func TestCloseFailsWhatIsUnacknowledgedAndTellsNobody(t *testing.T) {
	h := startHub(t, nil)
	arrived := make(chan struct{}, 1)
	h.publish = func(c *fakeConn, p *mqtt.Publish) { c.hold(p); arrived <- struct{}{} }
	ended := make(chan error, 1)
	s := dial(t, h.client(t, nil), func(err error) { ended <- err })
	done := make(chan error, 1)
	s.Send(messages(1), func(err error) { done <- err })
	await.Value(t, arrived, "the message")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := await.Value(t, done, "the failure"); err == nil {
		t.Error("closing acknowledged a message")
	}
	await.Value(t, h.conn(0).closed, "the end at the hub")
	if len(ended) != 0 {
		t.Error("Ended was called for our own Close")
	}
}
