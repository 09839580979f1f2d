package webhead

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/iottest"
	"sluice/iot"
)

// request asks a head for telemetry of a device.
func request(h http.Handler, device, token string) int {
	r := httptest.NewRequest(http.MethodPost, "/devices/"+device+"/messages/events?api-version=2021-04-12", strings.NewReader("x"))
	r.Header.Set("Authorization", token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// However many requests come at once, and whatever the hub does, an identity has one
// session, nobody waits for ever, and the head closes.
func TestSessionsUnderManyRequests(t *testing.T) {
	hub := newHub()
	h := New(hub, Options{Keep: time.Microsecond})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := range 200 {
				device, token := fmt.Sprint("dev", n%3), fmt.Sprint("token", i%2)
				if i == 0 {
					hub.End(iot.DeviceIdentity(device), iot.ErrTakenOver)
				}
				if i == 1 {
					token = "forged"
				}
				switch got := request(h, device, token); {
				case i == 1 && got == http.StatusUnauthorized, i != 1 && (got == http.StatusNoContent || got == http.StatusServiceUnavailable):
				default:
					t.Errorf("%s with %s: status %d", device, token, got)
				}
			}
		})
	}
	wg.Wait()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if len(hub.Sessions()) != 0 || len(h.seats.byID) != 0 {
		for id, s := range h.seats.byID {
			if s.hub == nil {
				t.Errorf("%v is kept and was never proved", id)
			}
		}
		if len(hub.Sessions()) != 0 {
			t.Errorf("%d sessions are left at the hub", len(hub.Sessions()))
		}
	}
}

// A hub that takes long to judge one request does not keep the others for ever.
func TestRequestThatWaitsForAnothersJudgementGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, known := iottest.NewHub(), make(chan struct{})
		hub.Judge = func(ctx context.Context, creds iot.Credentials) error {
			select {
			case <-known:
				return nil
			case <-ctx.Done():
				return iot.Errorf(iot.Unavailable, "connect", creds.Identity, "%v", ctx.Err())
			}
		}
		h := New(hub, Options{})
		var wg sync.WaitGroup
		begin := time.Now()
		for range 3 {
			wg.Go(func() {
				if got := request(h, "dev1", "token"); got != http.StatusServiceUnavailable {
					t.Errorf("status %d", got)
				}
			})
		}
		wg.Wait()
		if took := time.Since(begin); took > 31*time.Second {
			t.Errorf("took %v", took)
		}
		close(known)
		if got := request(h, "dev1", "token"); got != http.StatusNoContent {
			t.Errorf("afterwards: status %d", got)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A session that is used again just as its time is over is not closed under the
// request.
func TestSessionIsKeptFromItsLastUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub()
		var closed atomic.Int32
		hub.Note = func(format string, _ ...any) {
			if strings.HasPrefix(format, "! close") {
				closed.Add(1)
			}
		}
		h := New(hub, Options{Keep: time.Minute})
		for range 5 {
			if got := request(h, "dev1", "token"); got != http.StatusNoContent {
				t.Errorf("status %d", got)
			}
			time.Sleep(time.Minute - 1)
		}
		if n := closed.Load(); n != 0 {
			t.Errorf("closed %d times", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := closed.Load(); n != 1 {
			t.Errorf("closed %d times", n)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOneDeviceCannotUseTheProofOfAnother(t *testing.T) {
	hub := newHub()
	judged := 0
	a := newSessions(func(_ context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
		judged++
		return hub.Connect(context.Background(), creds, client)
	}, time.Minute)
	for range 2 {
		for _, device := range []string{"a", "b"} {
			s, err := a.enter(t.Context(), iot.Credentials{Identity: iot.DeviceIdentity(device), Token: "token"}, iot.Client{})
			if err != nil || s.hub.Identity().Device != device {
				t.Fatalf("%v, %v", s, err)
			}
			s.leave()
		}
	}
	if judged != 2 {
		t.Errorf("%d proofs were judged, want one for each device", judged)
	}
	a.close()
}
