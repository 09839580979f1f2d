package amqphead_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"sluice/internal/iottest"
	"sluice/internal/sas"
	"sluice/internal/transcript"
	"sluice/iot"
)

// A tap is a connection whose sent bytes are kept.
type tap struct {
	net.Conn
	mu   sync.Mutex
	sent []byte
}

func (c *tap) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.sent = append(c.sent, b...)
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// recorded is what the first client of each trace sends, by the trace's name. Its
// tokens are good in a bubble, where it is always the same time.
func recorded(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/trace/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no traces: ", err)
	}
	all := make(map[string][]byte)
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			for line := range strings.Lines(string(script)) {
				if line[0] == 'C' || line[0] == 'H' { // no time passes, so that no token ends
					transcript.After(t, s, strings.TrimSuffix(line, "\n"))
				}
			}
			if c := s.clients[""]; c != nil {
				all[strings.TrimSuffix(filepath.Base(file), ".txt")] = c.sent.sent
			}
			s.Stop()
		})
	}
	return all
}

// cut divides what a client sent into protocol headers and frames.
func cut(sent []byte) (pieces [][]byte) {
	for len(sent) >= 8 {
		n := min(int(binary.BigEndian.Uint32(sent)), len(sent))
		if bytes.HasPrefix(sent, []byte("AMQP")) {
			n = 8
		}
		pieces = append(pieces, sent[:n])
		sent = sent[n:]
	}
	return pieces
}

// A crime is what a hub under attack has seen that it should not have.
type crime struct {
	mu   sync.Mutex
	hub  *iottest.Hub
	seen map[iot.Identity]bool // proved
}

// judge lets those in who show a token of their own.
func (c *crime) judge(_ context.Context, creds iot.Credentials) error {
	token, err := sas.Parse(creds.Token)
	if (err != nil || token.Resource.Identity != creds.Identity) && creds.AuthChain == "" {
		return iot.Errorf(iot.Unauthorized, "connect", creds.Identity, "no token of its own")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[creds.Identity] = true
	return nil
}

// assault has a head served what an attacker sends, with a hub that answers, and
// checks that it survives, ends, leaves no session, and believes nobody without
// proof.
func assault(t *testing.T, sent []byte) {
	s := newStage(t)
	c := &crime{hub: s.hub, seen: make(map[iot.Identity]bool)}
	s.hub.Judge = c.judge
	near, far := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.server.ServeConn(s.ctx, far) // however it ends
	}()
	go func() { _, _ = io.Copy(io.Discard, near) }()
	_, _ = near.Write(sent) // the head may close at any byte
	synctest.Wait()
	s.stimulate()
	synctest.Wait()
	_ = near.Close()
	<-ended
	synctest.Wait()
	for _, line := range strings.Split(s.Take(), "\n") {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "!" || words[1] == "connect" || words[1] == "batch" || words[1] == "answer" {
			continue
		}
		if id, err := iot.ParseIdentity(words[2]); err != nil || !c.seen[id] {
			t.Errorf("%q without proof", line)
		}
	}
	if n := len(s.hub.Sessions()); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	s.cancel()
}

// stimulate has the hub send every session what it listens for.
func (s *stage) stimulate() {
	for _, session := range s.hub.Sessions() {
		s.hub.Deliver(session.Identity(), iot.Delivery{LockToken: "l9", Message: iot.Message{Body: []byte("x")}})
		session.Invoke(iot.MethodCall{Name: "m"}, func(iot.MethodResult) {})
		session.Change([]byte(`{}`))
	}
}

// Real conversations with the head, cut short, with their frames in another order,
// repeated or left out, mixed with those of another, and with bytes changed.
func TestA16_ConversationsMutated(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	all := recorded(t)
	var names []string
	for name, sent := range all {
		names = append(names, name)
		if transcript.Updating() && len(sent) < 10_000 {
			if err := os.WriteFile(seedFile(name), sent, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		sent := all[name]
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(len(sent))))
			for range rounds {
				other := all[names[rng.IntN(len(names))]]
				for _, attack := range [][]byte{
					sent[:rng.IntN(len(sent)+1)],
					shuffled(rng, cut(sent)),
					mixed(rng, cut(sent), cut(other)),
					changed(rng, sent),
				} {
					synctest.Test(t, func(t *testing.T) { assault(t, attack) })
				}
			}
		})
	}
}

// opening is how many pieces begin a conversation: headers, SASL, open, begin.
const opening = 5

// shuffled changes the order of what comes after the opening, and leaves out and
// repeats some of it.
func shuffled(rng *rand.Rand, pieces [][]byte) []byte {
	out := append([][]byte(nil), pieces[:min(opening, len(pieces))]...)
	for rest := pieces[len(out):]; len(rest) > 0 && rng.IntN(2*len(pieces)) > 0; {
		out = append(out, rest[rng.IntN(len(rest))])
	}
	return bytes.Join(out, nil)
}

// mixed deals the pieces of two conversations into one.
func mixed(rng *rand.Rand, a, b [][]byte) []byte {
	out := append([][]byte(nil), a[:min(opening, len(a))]...)
	a, b = a[len(out):], b[min(opening, len(b)):]
	for len(a)+len(b) > 0 {
		if from := &a; len(b) > 0 && (len(a) == 0 || rng.IntN(2) == 0) {
			out, b = append(out, b[0]), b[1:]
		} else {
			out, *from = append(out, (*from)[0]), (*from)[1:]
		}
	}
	return bytes.Join(out, nil)
}

func changed(rng *rand.Rand, sent []byte) []byte {
	out := bytes.Clone(sent)
	for range 1 + rng.IntN(6) {
		out[rng.IntN(len(out))] = byte(rng.Uint32())
	}
	return out
}

// seedFile is where a conversation is kept for fuzzing, which cannot record it.
func seedFile(name string) string { return filepath.Join("testdata", "transcripts", name+".bin") }

// FuzzServer_A16 is a head whose peer sends anything; the seeds are conversations.
func FuzzServer_A16(f *testing.F) {
	files, err := filepath.Glob(seedFile("*"))
	if err != nil || len(files) == 0 {
		f.Fatal("no transcripts: ", err)
	}
	for _, file := range files {
		sent, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sent)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		synctest.Test(t, func(t *testing.T) { assault(t, sent) })
	})
}
