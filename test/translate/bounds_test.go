package translate

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/internal/hub/storage"
	"sluice/internal/leafwire"
	"sluice/internal/sas"
	"sluice/internal/translate"
	"sluice/iot"
)

// numbered are bodies of about a kibibyte each.
func numbered(n int) (bodies []string) {
	for i := range n {
		bodies = append(bodies, fmt.Sprintf("%d%s", i, strings.Repeat(".", 1000)))
	}
	return bodies
}

// A leaf that may keep four messages keeps no more; the gateway has the others, and
// nothing is lost or out of order once it is registered.
func TestALeafThatIsFullLeavesTheRestWithTheGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *translate.Options) { o.MaxLeafBytes = 5 << 10 })
	p := s.translator(ptm, 0)
	s.cloud.set(func() { s.cloud.mute = true })
	all := numbered(40)
	p.tell("leaf", all...)
	await.Success(s.t, "it is full", func() error {
		if kept := s.module.Stats().Kept; kept < 4 {
			return fmt.Errorf("%d kept", kept)
		}
		return nil
	})
	if kept := s.module.Stats().Kept; kept > 5 {
		t.Errorf("%d messages kept, of which four have room", kept)
	}
	s.cloud.set(func() { s.cloud.mute = false })
	s.cloud.has("leaf", all...)
}

func TestALeafThatIsFullDropsItsOldestIfItIsToldTo(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *translate.Options) { o.MaxLeafBytes, o.Full = 5<<10, translate.DropOldest })
	p := s.translator(ptm, 0)
	s.cloud.set(func() { s.cloud.mute = true })
	all := numbered(40)
	p.tell("leaf", all...)
	await.Success(s.t, "the oldest are dropped", func() error {
		if st := s.module.Stats(); st.Kept < 40 {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	dropped := int(s.module.Stats().Dropped)
	if dropped < 35 {
		t.Errorf("%d dropped", dropped)
	}
	s.cloud.set(func() { s.cloud.mute = false })
	s.cloud.has("leaf", all[dropped:]...)
}

// A leaf that is refused must not hold up others, however much it says.
func TestZ10_ARefusedLeafThatIsFullHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *translate.Options) { o.MaxLeafBytes = 5 << 10 })
	p := s.translator(ptm, 16)
	s.cloud.set(func() { s.cloud.refuse["rogue"] = true })
	p.tell("rogue", "a")
	p.told("rogue", leafwire.Refused)
	p.tell("rogue", numbered(200)...)
	p.tell("good", "b")
	s.cloud.has("good", "b")
	await.True(t, "the refused leaf's messages are dropped", func() bool { return s.module.Stats().Dropped >= 190 })
}

// A book is a log that can be searched.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestS12_NoSecretIsLogged(t *testing.T) {
	t.Parallel()
	var log book
	s := newSiteWith(t, func(s *site) {
		s.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s.change = func(o *translate.Options) { o.Patience.Refusal = time.Millisecond }
	})
	p := s.translator(ptm, 64)
	s.cloud.set(func() { s.cloud.refuse["rogue"] = true })
	p.tell("rogue", "a")
	p.told("rogue", leafwire.Refused)
	p.tell("leaf", "a")
	s.cloud.has("leaf", "a")
	p.say(iot.Message{Properties: iot.Properties{{Key: "leafDeviceId", Value: "a/b"}}})
	s.restartGateway()
	p = s.translator(ptm, 64)
	p.tell("leaf", "b")
	s.cloud.has("leaf", "a", "b")
	s.stopModule()
	module, _ := s.devices.Get(itm)
	leaf, err := sas.DeriveKey(module.Auth.PrimaryKey, "leaf")
	s.must(err)
	text := log.String()
	if !strings.Contains(text, "a leaf is registered") {
		t.Fatalf("the log is not that of the module:\n%s", text)
	}
	for _, secret := range []string{module.Auth.PrimaryKey.Reveal(), module.Auth.SecondaryKey.Reveal(), leaf.Reveal(), "SharedAccessSignature", "sig="} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %.12s…", secret)
		}
	}
}

// Bad messages are counted, and told of once a second; others go on.
func TestL11_AFloodOfBadMessagesDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	var log book
	s := newSiteWith(t, func(s *site) { s.log = slog.New(slog.NewTextHandler(&log, nil)) })
	p := s.translator(ptm, 0)
	bad := func() iot.Message {
		return iot.Message{Body: []byte("x"), Properties: iot.Properties{{Key: "leafDeviceId", Value: strings.Repeat("x", 200)}}}
	}
	began := time.Now()
	for range 500 {
		p.say(bad())
	}
	p.tell("leaf", "good")
	s.cloud.has("leaf", "good")
	await.Success(s.t, "all are counted", func() error {
		if n := s.module.Stats().Bad; n != 500 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	if lines, most := strings.Count(log.String(), "a message is dropped"), int(time.Since(began)/time.Second)+2; lines == 0 || lines > most {
		t.Errorf("%d lines of log, want 1 to %d", lines, most)
	}
}

// An id that is that of a device of somebody else is refused by the gateway, whatever
// the cloud says: the module's keys are not that device's.
func TestZ10_AnExistingDeviceIsNotTakenOver(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.create(device("pump", func(e *storage.Entry) { e.ParentScopes = []string{s.scope} }))
	p := s.translator(ptm, 0)
	p.tell("pump", "forged")
	await.Success(s.t, "it is doubted", func() error {
		if n := s.cloud.times("pump"); n < 2 {
			return fmt.Errorf("asked for %d times", n)
		}
		return nil
	})
	s.cloud.has("pump")
}
