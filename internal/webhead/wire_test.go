package webhead

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/iottest"
	"sluice/internal/tlsx"
	"sluice/iot"
)

const post = "POST /devices/dev1/messages/events?api-version=2021-04-12 HTTP/1.1\r\nHost: hub\r\nAuthorization: token\r\n"

// status is the first line of what a server sent.
func status(answer string) string {
	line, _, _ := strings.Cut(answer, "\r\n")
	return strings.TrimPrefix(line, "HTTP/1.1 ")
}

func TestH1_SlowClientsAreCutOff(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin string
		drip  string // again and again
		every time.Duration
		limit time.Duration
	}{
		{"nothing", "", "", time.Second, headerTime},
		{"headers a byte in five seconds", post, "x", 5 * time.Second, headerTime},
		{"a body a byte in five seconds", post + "Content-Length: 1000\r\n\r\n", "x", 5 * time.Second, bodyTime},
		{"a chunked body", post + "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 5 * time.Second, bodyTime},
		{"half a body", post + "Content-Length: 1000\r\n\r\nhalf", "", time.Second, bodyTime},
		{"no second request", post + "Content-Length: 1\r\n\r\nx", "", time.Second, idleTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, Options{})
				defer s.Stop()
				c := s.dial()
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				begin := time.Now()
				wg.Go(func() {
					_, err := io.WriteString(c, tt.begin)
					for err == nil && time.Since(begin) < time.Hour {
						time.Sleep(tt.every)
						_, err = io.WriteString(c, tt.drip)
					}
				})
				_, _ = io.Copy(io.Discard, c)
				took := time.Since(begin)
				_ = c.NetConn().Close()
				wg.Wait()
				if took < tt.limit || took > tt.limit+2*time.Second {
					t.Errorf("closed after %v, want %v", took, tt.limit)
				}
			})
		})
	}
}

// The client wants no session tickets, so that the answer is the first that the
// server says after the handshake.
func TestAnAnswerMayTakeLongerThanAHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipes, served := newPipes(), make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(25 * time.Second):
			case <-r.Context().Done():
			}
		})
		config := &tls.Config{Certificates: []tls.Certificate{identity()}, MinVersion: tls.VersionTLS13}
		go func() { served <- Serve(ctx, tlsx.Listen(pipes, tlsx.Limits{}, nil), slow, ServeOptions{TLS: config}) }()
		s := &stage{t: t, pipes: pipes}
		if got := s.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", time.Minute); status(got) != "200 OK" {
			t.Errorf("%q", got)
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestH1_AnswerThatIsNotReadEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{})
		defer s.Stop()
		s.hub.Deliver(iot.DeviceIdentity("dev1"), iottest.Delivery("lock1", "hello"))
		settled := make(chan string, 10)
		s.hub.Note = func(format string, args ...any) { settled <- fmt.Sprintf(format, args...) }
		c := s.dial()
		if _, err := io.WriteString(c, "GET /devices/dev1/messages/devicebound?api-version=2021-04-12 HTTP/1.1\r\nHost: hub\r\nAuthorization: token\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for want := range strings.SplitSeq("! connect|! listen|! settle dev1 lock1 abandon", "|") {
			if got := <-settled; !strings.HasPrefix(got, want) {
				t.Errorf("the hub was asked %q, want %q", got, want)
			}
		}
		if took := time.Since(begin); took != answerTime {
			t.Errorf("given back after %v, want %v", took, answerTime)
		}
		_ = c.NetConn().Close()
	})
}

func TestH2_LargeHeadersAreRefused(t *testing.T) {
	for name, headers := range map[string]string{
		"64 KiB":         "iothub-app-a: " + strings.Repeat("x", 64<<10) + "\r\n",
		"10,000 headers": strings.Repeat("a: b\r\n", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, Options{})
				defer s.Stop()
				if got := s.ask(post+headers+"\r\n", time.Minute); !strings.HasPrefix(status(got), "431 ") || !strings.Contains(got, "Connection: close") {
					t.Errorf("answered %q", got)
				}
			})
		})
	}
}

func TestH3_RequestsThatTwoServersCouldReadDifferently(t *testing.T) {
	for _, tt := range []struct{ name, raw, status, sent string }{
		{"two lengths", post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400 Bad Request", ""},
		{"a length that is none", post + "Content-Length: +1\r\n\r\na", "400 Bad Request", ""},
		{"an encoding besides chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501 Not Implemented", ""},
		{"a chunk without a length", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n", "400 Bad Request", ""},
		{"a chunk longer than it says", post + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", "400 Bad Request", ""},
		{"a space before the colon", post + "Content-Length : 1\r\n\r\na", "400 Bad Request: invalid header name", ""},
		{"a control character in a value", post + "iothub-app-a: x\x00y\r\nContent-Length: 1\r\n\r\na", "400 Bad Request", ""},
		// RFC 9112, section 6.3: the encoding counts, and the connection is closed.
		{"length and encoding", post + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" + post + "\r\n", "204 No Content", "ab"},
		// Section 5.2: a folded value may be unfolded.
		{"a folded value", post + "iothub-app-a: x\r\n y\r\nContent-Length: 1\r\nConnection: close\r\n\r\na", "204 No Content", `a a="x y"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, Options{})
				defer s.Stop()
				var sent []string
				s.hub.Note = func(format string, args ...any) {
					if text := fmt.Sprintf(format, args...); strings.HasPrefix(text, "! send") {
						sent = append(sent, strings.TrimPrefix(text, "! send dev1 "))
					}
				}
				got := s.ask(tt.raw, time.Minute)
				if status(got) != tt.status || strings.Join(sent, "|") != tt.sent || !strings.Contains(got, "Connection: close") {
					t.Errorf("answered %q; the hub got %q", got, sent)
				}
			})
		})
	}
}

func TestH5_NothingIsReadBeyondTheLimit(t *testing.T) {
	for _, tt := range []struct {
		name, head string
		body       int
		status     string
	}{
		{"as large as it may be", "Content-Length: 262144\r\nConnection: close\r\n", 262144, "204 No Content"},
		{"a byte more", "Content-Length: 262145\r\n", 262145, "413 Request Entity Too Large"},
		{"a byte more with its properties", "iothub-app-a: \r\nContent-Length: 262144\r\nConnection: close\r\n", 262144, "413 Request Entity Too Large"},
		{"a byte more, with 100-continue", "Expect: 100-continue\r\nContent-Length: 262145\r\n", 0, "413 Request Entity Too Large"},
		{"a batch", "Content-Type: application/vnd.microsoft.iothub.json\r\nContent-Length: 524289\r\n", 524289, "413 Request Entity Too Large"},
		{"a gzip bomb", "Content-Encoding: gzip\r\nContent-Length: 5\r\nConnection: close\r\n", 5, "415 Unsupported Media Type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, Options{})
				defer s.Stop()
				if got := s.ask(post+tt.head+"\r\n"+strings.Repeat("x", tt.body), time.Minute); status(got) != tt.status {
					t.Errorf("answered %.300q", got)
				}
			})
		})
	}
	t.Run("chunks without end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, Options{})
			defer s.Stop()
			c := s.dial()
			var wg sync.WaitGroup
			wrote := 0
			wg.Go(func() {
				_, err := io.WriteString(c, post+"Transfer-Encoding: chunked\r\n\r\n")
				for chunk := "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n"; err == nil; wrote += len(chunk) {
					_, err = io.WriteString(c, chunk)
				}
			})
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || r.StatusCode != http.StatusRequestEntityTooLarge || !r.Close {
				t.Errorf("%+v, %v", r, err)
			}
			_ = c.NetConn().Close()
			wg.Wait()
			if wrote > 2*iot.MaxMessageSize {
				t.Errorf("%d bytes were taken", wrote)
			}
		})
	})
}

func TestH7_JSONThatMustNotBe(t *testing.T) {
	const batch = post + "Content-Type: application/vnd.microsoft.iothub.json\r\n"
	for name, body := range map[string]string{
		"empty":                     "",
		"not JSON":                  "{",
		"not an array":              `{"body":"YQ=="}`,
		"depth 10,000":              strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
		"a message nested deeply":   `[{"body":"YQ==","properties":{"a":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}}]`,
		"duplicate keys":            `[{"body":"YQ==","body":"Yg=="}]`,
		"duplicate properties":      `[{"body":"YQ==","properties":{"a":"1","a":"2"}}]`,
		"a number of half a MB":     `[{"body":` + strings.Repeat("1", 500_000) + `}]`,
		"invalid UTF-8":             "[{\"body\":\"YQ==\",\"properties\":{\"a\":\"\xff\"}}]",
		"NaN":                       `[{"body":"YQ==","properties":{"a":NaN}}]`,
		"a body that is not base64": `[{"body":"?"}]`,
		"a message without body":    `[{}]`,
		"a message that is null":    `[null]`,
		"more after it":             `[] []`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, Options{})
				defer s.Stop()
				s.hub.Note = func(format string, args ...any) {
					if strings.HasPrefix(format, "! send") {
						t.Errorf(format, args...)
					}
				}
				got := s.ask(fmt.Sprintf("%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", batch, len(body), body), time.Minute)
				if !strings.HasPrefix(status(got), "400 ") || !strings.Contains(got, `{"Message":"ErrorCode:`) {
					t.Errorf("answered %.300q", got)
				}
			})
		})
	}
}

// Pipelined requests are answered one by one, in order.
func TestPipelinedRequestsAreServedOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{})
		defer s.Stop()
		var mu sync.Mutex
		var asked []string
		s.hub.Note = func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, fmt.Sprintf(format, args...))
		}
		s.hub.Hold = true
		var wg sync.WaitGroup
		wg.Go(func() {
			got := s.ask(post+"Content-Length: 1\r\n\r\na"+post+"Content-Length: 1\r\nConnection: close\r\n\r\nb", time.Minute)
			if strings.Count(got, "204 No Content") != 2 {
				t.Errorf("answered %q", got)
			}
		})
		synctest.Wait()
		mu.Lock()
		if n := len(asked); n != 2 { // connect and send
			t.Errorf("the hub was asked %q", asked)
		}
		mu.Unlock()
		s.hub.Hold = false
		s.hub.Release(nil)
		wg.Wait()
		if want := "! send dev1 b"; asked[len(asked)-1] != want {
			t.Errorf("the hub was asked %q", asked)
		}
	})
}

// The names of a command's properties leave in their case.
func TestNamesOfACommandKeepTheirCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{})
		defer s.Stop()
		s.hub.Deliver(iot.DeviceIdentity("dev1"), iottest.Delivery("lock1", "hello", "unitName=bar"))
		got := s.ask("GET /devices/dev1/messages/devicebound?api-version=2021-04-12 HTTP/1.1\r\nHost: hub\r\nAuthorization: token\r\nConnection: close\r\n\r\n", time.Minute)
		if !strings.Contains(got, "\r\niothub-app-unitName: bar\r\n") || !strings.Contains(got, "\r\nETag: \"lock1\"\r\n") {
			t.Errorf("answered %q", got)
		}
	})
}

// A client that goes while it waits does not take a command with it.
func TestCommandForAClientThatHasGoneStaysWithTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{})
		defer s.Stop()
		s.ask("GET /devices/dev1/messages/devicebound?api-version=2021-04-12 HTTP/1.1\r\nHost: hub\r\nAuthorization: token\r\n\r\n", 500*time.Millisecond)
		synctest.Wait()
		s.hub.Deliver(iot.DeviceIdentity("dev1"), iottest.Delivery("lock1", "hello"))
		if n := s.hub.Waiting(iot.DeviceIdentity("dev1")); n != 1 {
			t.Errorf("%d commands wait, want 1", n)
		}
	})
}
