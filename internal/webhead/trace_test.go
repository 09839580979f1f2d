package webhead

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sluice/internal/transcript"
)

// TestTraces plays the conversations in testdata/trace, see [transcript.Play]. In them
//
//	C> ...     is a request, its headers and body in the lines after it
//	H> ...     is what the hub does, see [iottest.Hub.Direct]
//	S> ...     is the answer, its headers and body in the lines after it
//	! ...      is what the hub is asked
//
// C2> and S2> are another connection, and CX> one with a certificate. The headers Host and
// Content-Length are added, and api-version to the query. A trace that begins with
// "# visits" is of a hub that can be visited, one with "# files" of one that takes files.
func TestTraces(t *testing.T) {
	transcript.Play(t, func(t *testing.T, script string) transcript.Stage { return newPlayer(t, script) })
}

// A player plays one trace.
type player struct {
	transcript.Notes
	*stage
	clients map[string]*tls.Conn
	wg      sync.WaitGroup
}

const indent = "    "

func newPlayer(t *testing.T, script string) *player {
	hub, opt := newHub(), Options{}
	if strings.HasPrefix(script, "# visits") {
		opt.Visit = hub.Visit
	}
	if strings.HasPrefix(script, "# files") {
		opt.Files = fileHub{hub}
	}
	p := &player{stage: newStageOn(t, hub, opt), clients: make(map[string]*tls.Conn)}
	hub.Note = p.Note
	return p
}

// Stop cuts the clients off and waits for their ends.
func (p *player) Stop() {
	for _, c := range p.clients {
		_ = c.NetConn().Close()
	}
	p.stage.Stop()
	p.wg.Wait()
}

// Act does what a line says.
func (p *player) Act(line string) {
	line, rest, _ := strings.Cut(line, "\n")
	who, what, _ := strings.Cut(line, "> ")
	switch {
	case who == "H":
		p.hub.Direct(p.t, strings.Fields(what))
	case line[0] == 'C':
		p.request(who[1:], what, strings.Split(rest, "\n"))
	default:
		p.t.Fatalf("cannot read %q", line)
	}
}

// request sends a request.
func (p *player) request(number, line string, rest []string) {
	c := p.clients[number]
	if c == nil {
		c = p.connect(number)
	}
	method, target, _ := strings.Cut(line, " ")
	if !strings.Contains(target, "api-version") {
		mark := "?"
		if strings.Contains(target, "?") {
			mark = "&"
		}
		target += mark + "api-version=2021-04-12"
	}
	head, body := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: hub.test\r\n", method, target), ""
	for i, l := range rest {
		if l = strings.TrimPrefix(l, indent); strings.TrimSpace(l) == "" {
			body = strings.ReplaceAll(strings.Join(rest[i+1:], "\n"), indent, "")
			break
		}
		head += l + "\r\n"
	}
	if method == http.MethodPost {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	p.wg.Go(func() { _, _ = io.WriteString(c, head+"\r\n"+body) }) // an error shows as EOF
}

func (p *player) connect(number string) *tls.Conn {
	var c *tls.Conn
	if number == "X" {
		c = p.dial(identity())
	} else {
		c = p.dial()
	}
	p.clients[number] = c
	p.wg.Go(func() {
		answers := bufio.NewReader(c)
		for {
			r, err := http.ReadResponse(answers, nil)
			if err != nil {
				p.Note("S%s> EOF", number)
				return
			}
			p.Note("S%s> %s", number, answerText(r))
		}
	})
	return c
}

var tracking = regexp.MustCompile(`Tracking ID:[0-9a-f]{32}-TimeStamp:[^"]*`)

func answerText(r *http.Response) string {
	var b strings.Builder
	b.WriteString(r.Status)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		switch name {
		case "Date", "Cache-Control", "Content-Length":
		default:
			fmt.Fprintf(&b, "\n%s%s: %s", indent, name, strings.Join(r.Header[name], " | "))
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fmt.Fprintf(&b, "\n%s%v", indent, err)
	}
	if len(body) > 0 {
		fmt.Fprintf(&b, "\n%s\n%s%s", indent, indent, strings.TrimSpace(string(tracking.ReplaceAll(body, []byte("Tracking ID:…")))))
	}
	return b.String()
}
