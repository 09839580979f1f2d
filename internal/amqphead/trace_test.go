package amqphead_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"sluice/amqp10"
	"sluice/internal/amqphead"
	"sluice/iot"
)

var update = flag.Bool("update", false, "rewrite the traces with what the head does now")

// TestTraces plays the conversations in testdata/trace in virtual time. In a
// trace,
//
//	# ...      is a comment
//	C> ...     is what the client does
//	H> ...     is what the hub does
//	+90s       is time that passes
//	S> ...     is what the client gets, by the name of its link
//	! ...      is what the hub is asked
//
// and lines of the last two kinds are compared. C2> and S2> are another client.
func TestTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/trace/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no traces: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, string(want)) })
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := diff.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
				t.Errorf("the conversation is another (-want +got):\n%s", d)
			}
		})
	}
}

// play runs a trace and returns it with the head's side as it is.
func play(t *testing.T, script string) string {
	s := newStage(t)
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "S") || strings.HasPrefix(line, "!") {
			continue
		}
		fmt.Fprintln(&out, line)
		s.act(line)
		synctest.Wait()
		out.WriteString(s.take())
	}
	s.stop()
	return out.String()
}

// A stage is a head on a fake hub, and clients on pipes.
type stage struct {
	t       testing.TB
	hub     *fakeHub
	server  *amqp10.Server
	clients map[string]*player
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu    sync.Mutex
	lines []string
}

func newStage(t testing.TB) *stage {
	s := &stage{t: t, hub: newFakeHub(), clients: make(map[string]*player)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.hub.note = s.note
	s.server = amqphead.New(s.hub, amqphead.Options{Identities: 20}).Server()
	return s
}

func (s *stage) stop() {
	for _, c := range s.clients {
		_ = c.nc.Close()
	}
	s.cancel()
	s.wg.Wait()
}

func (s *stage) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// take returns the lines since the last time: first what the hub was asked, then
// what each client got, by link.
func (s *stage) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.lines, func(a, b string) int { return cmp.Compare(lineClass(a), lineClass(b)) })
	var out strings.Builder
	for _, l := range s.lines {
		fmt.Fprintln(&out, l)
	}
	s.lines = nil
	return out.String()
}

func lineClass(line string) string {
	words := strings.SplitN(line, " ", 3)
	if words[0] == "!" {
		switch words[1] { // those of several identities come in any order
		case "connect", "renew", "listen", "stop", "close":
			id, _, _ := strings.Cut(words[2], " ")
			return "! " + id
		}
		return "!"
	}
	return words[0] + " " + words[1]
}

// act does what a line says.
func (s *stage) act(line string) {
	who, what, _ := strings.Cut(line, "> ")
	switch {
	case line == "" || line[0] == '#':
	case line[0] == '+':
		d, err := time.ParseDuration(line[1:])
		if err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(d)
	case who == "H":
		s.direct(strings.Fields(what))
	case line[0] == 'C':
		s.client(who[1:]).do(strings.Fields(what))
	default:
		s.t.Fatalf("cannot read %q", line)
	}
}

// client returns a client by its number.
func (s *stage) client(number string) *player {
	c := s.clients[number]
	if c == nil {
		c = newPlayer(s, number)
		s.clients[number] = c
	}
	return c
}

// direct makes the hub do something, or behave so from now on.
func (s *stage) direct(words []string) {
	h, arguments := s.hub, words[1:]
	switch words[0] {
	case "hold":
		h.hold = true
	case "safe":
		h.release(nil)
	case "lost":
		h.release(kindNamed(s.t, arguments[0]))
	case "refuse":
		err := kindNamed(s.t, arguments[0])
		h.judging = func(iot.Credentials) error { return err }
	case "accept":
		h.judging = nil
	case "refuse-send":
		h.refusal = kindNamed(s.t, arguments[0])
	case "forbid":
		h.closed[arguments[0]] = kindNamed(s.t, arguments[1])
	case "fail-twin":
		h.twinErr = kindNamed(s.t, arguments[0])
	case "end":
		reason := map[string]error{"taken-over": iot.ErrTakenOver, "disabled": iot.ErrDisabled, "removed": iot.ErrRemoved,
			"expired": iot.ErrTokenExpired, "closed": iot.ErrClosed}[arguments[1]]
		h.end(identity(s.t, arguments[0]), reason)
	default:
		s.deliver(words[0], h.session(identity(s.t, arguments[0])), arguments[1:])
	}
}

// deliver makes the hub hand something to a session.
func (s *stage) deliver(what string, to *fakeSession, words []string) {
	switch what {
	case "command", "input":
		d := iot.Delivery{LockToken: words[0], Message: iot.Message{Body: []byte(words[1])}}
		for _, w := range words[2:] {
			k, v, ok := strings.Cut(w, "=")
			if name, system := iot.ParseSystemName(strings.TrimPrefix(k, "$")); system && k[0] == '$' {
				d.Message.System.Set(name, v)
			} else if ok {
				d.Message.Properties.Set(k, v)
			}
		}
		to.flow.push(d)
	case "method":
		call := iot.MethodCall{Name: words[0]}
		if len(words) > 1 {
			call.Payload = []byte(words[1])
		}
		to.methods(call, func(r iot.MethodResult) { s.note("! answer %d %s", r.Status, r.Payload) })
	case "desired":
		to.desired([]byte(words[0]))
	default:
		s.t.Fatalf("the hub cannot %s", what)
	}
}

func identity(t testing.TB, text string) iot.Identity {
	t.Helper()
	id, err := iot.ParseIdentity(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// kinds are all kinds of failure, by their names in traces.
var kinds = map[string]iot.Kind{
	"internal": iot.Internal, "invalid": iot.Invalid, "unauthorized": iot.Unauthorized, "forbidden": iot.Forbidden,
	"not-found": iot.NotFound, "conflict": iot.Conflict, "precondition-failed": iot.PreconditionFailed,
	"too-large": iot.TooLarge, "throttled": iot.Throttled, "unavailable": iot.Unavailable, "timeout": iot.Timeout,
}

func kindNamed(t testing.TB, name string) error {
	t.Helper()
	kind, ok := kinds[name]
	if !ok {
		t.Fatalf("no kind %s", name)
	}
	return iot.Errorf(kind, "test", iot.Identity{}, "because the test says so")
}
