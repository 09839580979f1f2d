package amqp10

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// lingerTime is how long a connection that we close waits for its peer's
// close, or for it to read ours.
const lingerTime = time.Second

// Handler answers what the peer of one connection begins. Its methods are
// callbacks; see the package comment.
type Handler interface {
	// Attach is asked about each link that the peer attaches. It accepts or
	// refuses r, or keeps it and does so later.
	Attach(r *LinkRequest)
	// Closed is called once, last, when the connection has ended: with nil if
	// the peer closed it without an error.
	Closed(err error)
}

// Conn is one connection. Its methods may be called from any goroutine.
type Conn struct {
	nc      net.Conn
	limits  Limits
	log     *slog.Logger
	own     frame.Open
	handler Handler
	wg      sync.WaitGroup // the writer and the notifier
	done    chan struct{}  // closed when all has ended

	// set by the handshake, read-only afterwards
	peer       Peer
	identity   any
	mechanism  Symbol
	maxOut     uint32        // bytes, of frames that we send
	beat       time.Duration // between our signs of life; 0: none asked for
	channelMax uint16        // of channels that we may use

	// owned by the reader
	rd         frameReader
	turnedAway bool // the handshake ended with an answer that the peer is to read

	calling turn // held while a callback runs; taken before mu

	mu    sync.Mutex
	space sync.Cond // signalled when the peer has read, or a delivery is settled
	timer *time.Timer

	// guarded by mu: life
	closeSent  bool
	closeRcvd  bool
	ended      bool  // no callback will run any more
	err        error // why the connection ended, or is ending
	lastRead   time.Time
	lastSent   time.Time
	lingerEnd  time.Time
	paused     bool // the reader waits for space
	held       int  // bytes of deliveries that the handler has
	partial    int  // bytes of deliveries that have begun to arrive
	nextTag    uint64
	nextLinkNo uint64

	// guarded by mu: sessions and links
	local  []*Session // by our channel; nil where free
	remote map[uint16]*Session
	dirty  []*Session // with dispositions or flows to write
	links  int
	names  map[linkKey]*link

	// guarded by mu: output
	async    bool // the writer may run: the handshake is over
	out      wire.Encoder
	inFlight int   // bytes being written
	ownOut   int   // bytes of out that are deliveries of ours
	ownGoing int   // bytes of inFlight that are
	pending  int   // bytes of messages that wait for a session window
	writing  bool  // the writer runs
	broken   error // the first error of a write
	blocked  []*Sender

	// guarded by mu: callbacks
	events      []event
	spareEvents []event
	notifying   bool
}

// Peer is what the other end said of itself in its open [AMQP 2.7.1].
type Peer struct {
	ContainerID  string
	Hostname     string
	MaxFrameSize uint32
	ChannelMax   uint16
	IdleTimeout  time.Duration // 0: none
	Offered      []Symbol
	Desired      []Symbol
	Properties   Fields
}

func newConn(nc net.Conn, limits Limits, log *slog.Logger) *Conn {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Conn{nc: nc, limits: limits, log: log, done: make(chan struct{}), calling: make(turn, 1), maxOut: frame.MinMaxFrameSize}
	c.space.L = &c.mu
	c.rd.r, c.rd.idle = nc, true
	return c
}

// Peer returns what the peer said in its open.
func (c *Conn) Peer() Peer { return c.peer }

// Identity returns what the SASL mechanism's Authenticate returned; nil if the
// peer did not authenticate.
func (c *Conn) Identity() any { return c.identity }

// Mechanism returns the SASL mechanism that was used; "" if none was.
func (c *Conn) Mechanism() Symbol { return c.mechanism }

// RemoteAddr returns the peer's network address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// TLS returns the state of the TLS connection, or nil if there is none: that
// is, if the network connection has no method ConnectionState, as tls.Conn has.
func (c *Conn) TLS() *tls.ConnectionState {
	t, ok := c.nc.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	s := t.ConnectionState()
	return &s
}

// Done is closed when the connection has ended and its callbacks have run.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the connection has ended, or is ending: an *Error with
// Remote set if the peer closed it with one, one without if we did, another
// error if the network failed. It is nil while the connection lives, and after
// a close without an error.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == errClosed {
		return nil
	}
	return c.err
}

// errClosed marks an end without an error, for those who wait for something
// else.
var errClosed = &closedError{"amqp10: connection closed"}

type closedError struct{ s string }

func (e *closedError) Error() string   { return e.s }
func (e *closedError) Is(t error) bool { return t == net.ErrClosed }

// CloseWith starts to close the connection; err may be nil. It returns at
// once: the connection ends when the peer has answered, or a second later.
func (c *Conn) CloseWith(err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(err)
}

// Close closes the connection and waits until it has ended.
func (c *Conn) Close(ctx context.Context) error {
	c.CloseWith(nil)
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		_ = c.nc.Close()
		return context.Cause(ctx)
	}
}

// fail sends a close, once. Frames that still come in are passed over, until
// the peer's own close [AMQP 2.4.6]. [mu held]
func (c *Conn) fail(err *Error) {
	if c.closeSent || c.ended {
		return
	}
	if !c.async { // during the handshake there is nobody to tell
		c.setErr(err)
		_ = c.nc.Close()
		return
	}
	c.setErr(err)
	c.flushSessions() // what has been decided is said
	c.say(err, func(err *Error) { frame.AppendClose(c.w(), err) })
	c.closeSent = true
	c.kick()
	c.lingerEnd = time.Now().Add(lingerTime)
	_ = c.nc.SetReadDeadline(c.lingerEnd) // a dead socket ends the reader anyway
	c.space.Broadcast()
}

// setErr records the first reason. [mu held]
func (c *Conn) setErr(err *Error) {
	switch {
	case c.err != nil:
	case err == nil:
		c.err = errClosed
	default:
		c.err = err
	}
}

// run is the connection's life after the handshake, whose result is err.
func (c *Conn) run(err error) {
	defer close(c.done)
	c.converse(err)
	c.farewell()
}

// converse returns when there is nothing more to read. A panic of a callback
// ends the connection here.
func (c *Conn) converse(err error) {
	defer c.recovered()
	if err == nil {
		err = c.readFrames()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var e *Error
	switch {
	case c.broken != nil && c.err == nil:
		c.err = c.broken
	case errors.As(err, &e) && !e.Remote:
		c.fail(e)
	case c.err != nil: // we are closing; the read failed because of it
	case err == io.EOF:
		c.err = io.ErrUnexpectedEOF
	case err != nil:
		c.err = err
	}
}

// readFrames handles frames until the peer closes or breaks the rules.
func (c *Conn) readFrames() error {
	for {
		h, body, err := c.rd.next(uint32(c.limits.FrameSize), frame.TypeAMQP)
		if err != nil {
			return framingError(err)
		}
		due, closed, err := c.take(h, body)
		if due {
			c.runEvents()
		}
		if err != nil || closed {
			return err
		}
		if !c.waitForRoom() {
			return io.EOF
		}
	}
}

// take handles one frame, and reports whether callbacks are due and whether
// the peer has closed.
func (c *Conn) take(h frame.Header, body []byte) (due, closed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastRead = c.rd.last
	err = c.handle(h, body)
	due = len(c.events) > 0
	c.paused = due // while callbacks run, the peer is not silent but unheard
	return due, c.closeRcvd, err
}

// framingError turns a bad frame header into what the peer is told.
func framingError(err error) error {
	switch err {
	case frame.ErrSize, frame.ErrTooBig, frame.ErrOffset, frame.ErrType:
		return &Error{Condition: ErrFraming, Description: err.Error(), Cause: err}
	}
	return err
}

// decodeError turns a bad body into what the peer is told.
func decodeError(what string, err error) *Error {
	if err == wire.ErrMissing {
		return Errorf(ErrInvalidField, "%s: %v", what, err)
	}
	return Errorf(ErrDecode, "%s: %v", what, err)
}

// farewell flushes what is to be said, ends all links, and closes the socket.
func (c *Conn) farewell() {
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	for c.writing && c.broken == nil {
		c.space.Wait()
	}
	linger := (c.closeSent || c.turnedAway) && !c.closeRcvd && c.broken == nil
	if c.lingerEnd.IsZero() {
		c.lingerEnd = time.Now().Add(lingerTime)
	}
	c.mu.Unlock()
	if linger {
		c.linger()
	}
	_ = c.nc.Close()
	c.rd.release()
	c.endSessions()
	c.lastCallbacks()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.wg.Wait()
}

// linger lets the peer read our close before the socket goes: data that it had
// under way to us would otherwise make the kernel reset the connection.
func (c *Conn) linger() {
	if w, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
	_ = c.nc.SetReadDeadline(c.lingerEnd)
	_, _ = io.Copy(io.Discard, io.LimitReader(c.nc, 1<<20))
}

// endSessions gives everything that still waits its error.
func (c *Conn) endSessions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.local {
		if s != nil {
			s.endLinks(c.err)
			s.end(c.err)
		}
	}
	c.local, c.remote, c.names, c.dirty = nil, nil, nil, nil
	c.space.Broadcast()
}

// lastCallbacks runs the callbacks of the end; one that panics leaves the rest
// unsaid.
func (c *Conn) lastCallbacks() {
	defer c.recovered()
	c.runEvents()
	if c.handler == nil {
		return
	}
	c.calling.take()
	defer c.calling.give()
	c.handler.Closed(c.Err())
}
