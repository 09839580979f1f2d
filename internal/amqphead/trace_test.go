package amqphead_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"sluice/amqp10"
	"sluice/internal/amqphead"
	"sluice/internal/iottest"
	"sluice/internal/transcript"
)

// TestTraces plays the conversations in testdata/trace, see [transcript.Play]. In them
//
//	C> ...     is what the client does, see [player]
//	H> ...     is what the hub does, see [iottest.Hub.Direct]
//	S> ...     is what the client gets, by the name of its link
//	! ...      is what the hub is asked
//
// C2> and S2> are another client.
func TestTraces(t *testing.T) {
	transcript.Play(t, func(t *testing.T, _ string) transcript.Stage { return newStage(t) })
}

// A stage is a head on a fake hub, and clients on pipes.
type stage struct {
	transcript.Notes
	t       testing.TB
	hub     *iottest.Hub
	server  *amqp10.Server
	clients map[string]*player
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

func newStage(t testing.TB) *stage {
	s := &stage{t: t, hub: iottest.NewHub(), clients: make(map[string]*player)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.hub.Note = s.Note
	s.server = amqphead.New(s.hub, amqphead.Options{Identities: 20}).Server()
	return s
}

// Stop cuts the clients off and waits for their ends.
func (s *stage) Stop() {
	for _, c := range s.clients {
		_ = c.nc.Close()
	}
	s.cancel()
	s.wg.Wait()
}

// Take returns the lines since the last time: first what the hub was asked, then
// what each client got, by link.
func (s *stage) Take() string { return s.TakeBy(lineClass) }

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

// Act does what a line says.
func (s *stage) Act(line string) {
	who, what, _ := strings.Cut(line, "> ")
	switch {
	case who == "H":
		s.hub.Direct(s.t, strings.Fields(what))
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
