package webhead

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// ServeOptions are how requests are served.
type ServeOptions struct {
	TLS *tls.Config // its NextProtos are set here
	// Grace is how long requests under way may take when serving ends: 3 s, if zero.
	Grace time.Duration
	Log   *slog.Logger // gets complaints about clients, for debugging; nil for none
}

// How long a client may take for its part of a request.
const (
	headerTime = 10 * time.Second
	bodyTime   = 30 * time.Second
	answerTime = 30 * time.Second // for each piece of it
	idleTime   = 2 * time.Minute
	// maxHeader bounds the headers of a request, in bytes.
	maxHeader = 48 << 10
)

// Serve serves handler to the clients of l over HTTP/1.1 and TLS, until ctx ends and
// then returns nil, or until l fails. It closes l. Requests under way when ctx ends
// have the grace to be answered, and then their contexts end; Serve returns when the
// handler has returned from all of them. Connections that have become WebSockets are
// the handler's.
//
// A client has 10 s for the headers of a request, which are at most 48 KiB, 30 s for
// its body, and 30 s to take each piece of the answer; after 2 minutes without a
// request its connection is closed. One request of a connection is served at a time.
func Serve(ctx context.Context, l net.Listener, handler http.Handler, opt ServeOptions) error {
	if opt.Grace == 0 {
		opt.Grace = 3 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	config := opt.TLS.Clone()
	config.NextProtos = []string{"http/1.1"}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var requests group
	server := &http.Server{
		Handler:           counted(&requests, paced(handler)),
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(opt.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return life },
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	defer requests.wait()
	defer end()
	defer requests.close()
	served := make(chan error, 1)
	go func() { served <- server.Serve(&listener{l, config}) }()
	select {
	case err := <-served:
		_ = server.Close() // ends the connections that are left
		return fmt.Errorf("HTTPS: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), opt.Grace)
	defer cancel()
	if server.Shutdown(grace) != nil {
		_ = server.Close() // what did not end in time is cut off
	}
	<-served
	return nil
}

// counted counts requests under way. One that comes when serving has ended is not
// answered: its connection is being closed.
func counted(requests *group, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !requests.begin() {
			panic(http.ErrAbortHandler)
		}
		defer requests.done()
		handler.ServeHTTP(w, r)
	})
}

// paced bounds the time in which a client sends a body and takes an answer, and gives
// requests the state of their TLS connection.
func paced(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := connOf(r); c != nil {
			state := c.ConnectionState()
			r.TLS = &state
			if c.ambiguous(r) {
				w.Header().Set("Connection", "close")
			}
			defer c.forget(c.noted())
		}
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Time{}) // the last answer's; an error shows in Write
		if r.ContentLength != 0 {
			_ = rc.SetReadDeadline(time.Now().Add(bodyTime)) // an error shows in Read
			r.Body = &body{r.Body, rc}
		}
		handler.ServeHTTP(&pacedWriter{w, rc}, r)
	})
}

// A body has a deadline until it is read: the server goes on reading afterwards, to
// notice when the client goes.
type body struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.rc.SetReadDeadline(time.Time{}) // an error shows in the next Read
	}
	return n, err
}

// A pacedWriter gives the client some time for each piece of an answer.
type pacedWriter struct {
	http.ResponseWriter
	rc *http.ResponseController
}

// Unwrap is for http.ResponseController.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *pacedWriter) WriteHeader(status int) {
	w.more()
	w.ResponseWriter.WriteHeader(status)
}

func (w *pacedWriter) Write(p []byte) (int, error) {
	w.more()
	return w.ResponseWriter.Write(p)
}

func (w *pacedWriter) more() {
	_ = w.rc.SetWriteDeadline(time.Now().Add(answerTime)) // an error shows in Write
}
