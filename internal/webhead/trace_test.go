package webhead

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"sluice/internal/hub/code"
	"sluice/iot"
)

var update = flag.Bool("update", false, "rewrite the traces with what the head does now")

// TestTraces plays the conversations in testdata/trace in virtual time. In a trace,
//
//	# ...      is a comment
//	C> ...     is a request, its headers and body in the lines after it
//	H> ...     is what the hub does
//	+90s       is time that passes
//	S> ...     is the answer, its headers and body in the lines after it
//	! ...      is what the hub is asked
//
// and what belongs to the last two is compared. Lines after the first begin with four
// spaces. C2> and S2> are another connection, and CX> one with a certificate. The
// headers Host and Content-Length are added, and api-version to the query.
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

// A player plays one trace.
type player struct {
	*stage
	clients map[string]*tls.Conn
	wg      sync.WaitGroup

	mu    sync.Mutex
	lines []string
}

const indent = "    "

// play runs a trace and returns it with the head's side as it is.
func play(t *testing.T, script string) string {
	hub := newFakeHub()
	opt := Options{}
	if strings.HasPrefix(script, "# visits") {
		opt.Visit = hub.visit
	}
	if strings.HasPrefix(script, "# files") {
		opt.Files = hub
	}
	p := &player{stage: newStage(t, opt), clients: make(map[string]*tls.Conn)}
	if opt.Files != nil {
		p.head.opt.Files = p.hub
	}
	if opt.Visit != nil {
		opt.Visit = p.hub.visit
		p.head.visits.begin = p.hub.visit
	}
	p.hub.note = p.note
	var out strings.Builder
	for _, block := range blocks(script) {
		if strings.HasPrefix(block[0], "S") || strings.HasPrefix(block[0], "!") {
			continue
		}
		fmt.Fprintln(&out, strings.Join(block, "\n"))
		p.act(block)
		synctest.Wait()
		out.WriteString(p.take())
	}
	for _, c := range p.clients {
		_ = c.NetConn().Close()
	}
	p.stop()
	p.wg.Wait()
	return out.String()
}

// blocks are the lines of a script, each with those that belong to it.
func blocks(script string) (all [][]string) {
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, indent) || strings.TrimSpace(line) == "" && len(all) > 0 && line != "" {
			all[len(all)-1] = append(all[len(all)-1], line)
			continue
		}
		all = append(all, []string{line})
	}
	return all
}

func (p *player) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, fmt.Sprintf(format, args...))
}

func (p *player) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out strings.Builder
	for _, l := range p.lines {
		fmt.Fprintln(&out, l)
	}
	p.lines = nil
	return out.String()
}

func (p *player) act(block []string) {
	kind, rest, _ := strings.Cut(block[0], " ")
	switch {
	case strings.HasPrefix(kind, "C"):
		p.request(strings.TrimSuffix(kind[1:], ">"), rest, block[1:])
	case kind == "H>":
		p.command(strings.Fields(rest))
	case strings.HasPrefix(kind, "+"):
		d, err := time.ParseDuration(kind[1:])
		if err != nil {
			p.t.Fatal(err)
		}
		time.Sleep(d)
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
				p.note("S%s> EOF", number)
				return
			}
			p.note("S%s> %s", number, answerText(r))
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

// command does what the hub does by itself.
func (p *player) command(words []string) {
	id := func(i int) iot.Identity {
		got, err := iot.ParseIdentity(words[i])
		if err != nil {
			p.t.Fatal(err)
		}
		return got
	}
	p.hub.mu.Lock()
	switch words[0] {
	case "hold":
		p.hub.hold = true
	case "refuse":
		p.hub.refusal = trouble[words[1]]
	case "fail":
		p.hub.failure = trouble[words[1]]
	case "answer":
		p.hub.result = iot.MethodResult{Status: 418, Payload: json.RawMessage(words[1])}
	}
	p.hub.mu.Unlock()
	switch words[0] {
	case "release":
		p.hub.release(trouble[words[1]])
	case "end":
		p.hub.end(id(1), trouble[words[2]])
	case "command":
		p.hub.push(id(1), delivery(words[2], words[3], words[4:]))
	}
}

// delivery is a command with properties, the system ones with a dollar sign.
func delivery(lock, body string, properties []string) iot.Delivery {
	d := iot.Delivery{LockToken: lock, Message: iot.Message{Body: []byte(body)}}
	for _, pair := range properties {
		key, value, _ := strings.Cut(pair, "=")
		value = strings.NewReplacer(`\n`, "\n", `\s`, " ").Replace(value)
		if name, ok := iot.ParseSystemName(strings.TrimPrefix(key, "$")); ok && key[0] == '$' {
			d.Message.System.Set(name, value)
			continue
		}
		d.Message.Properties.Set(key, value)
	}
	return d
}

// trouble is what can go wrong at the hub, by name.
var trouble = map[string]error{
	"ok":          nil,
	"taken-over":  iot.ErrTakenOver,
	"expired":     iot.ErrTokenExpired,
	"disabled":    iot.ErrDisabled,
	"throttled":   iot.Errorf(iot.Throttled, "send", iot.Identity{}, "too much"),
	"unavailable": iot.Errorf(iot.Unavailable, "send", iot.Identity{}, "the disk is full; this is secret"),
	"forbidden":   code.Errorf(code.QuotaExceeded, "send", iot.Identity{}, "over quota; for today"),
	"not-found":   iot.Errorf(iot.NotFound, "settle", iot.Identity{}, "no such thing"),
	"timeout":     iot.Errorf(iot.Timeout, "method", iot.Identity{}, "no answer"),
	"internal":    fmt.Errorf("a bug; this is secret"),
}
