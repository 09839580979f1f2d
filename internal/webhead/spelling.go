package webhead

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync"
)

// A listener accepts TLS connections whose requests' headers keep their case.
type listener struct {
	net.Listener
	config *tls.Config
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: tls.Server(c, l.config)}, nil
}

// A conn notes how its client spells the names of properties as they go by. net/http
// changes the case of all headers, and to IoT Hub temperatureAlert is not
// Temperaturealert.
//
// What goes by is not parsed as HTTP: a line of a body may look like a header, and
// would then change in what case a property of the same client, on the same
// connection, is written. Nothing else comes of it.
type conn struct {
	*tls.Conn

	mu    sync.Mutex
	line  []byte // the beginning of the line that is going by, as far as is needed
	off   bool
	names map[string]string // lower case to what was written
	size  int               // of names, in bytes
	seen  int               // lines that have begun with one

	established bool // the TLS handshake is over
	lengths     int  // lines that begin as Content-Length does, but for those of requests served
}

// maxLength is that of a name, in bytes. What is remembered together is at most
// maxHeader, as the headers of one request are.
const maxLength = 256

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && !c.established {
		c.established = true
		if watched, ok := c.NetConn().(interface{ Established() }); ok {
			watched.Established()
		}
	}
	if !c.off {
		c.scan(p[:n])
	}
	return n, err
}

// scan looks at the lines of b, of which the first and the last may not be whole.
func (c *conn) scan(b []byte) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			c.hold(b)
			return
		}
		if len(c.line) > 0 {
			c.hold(b[:end])
			c.note(c.line)
			c.line = c.line[:0]
		} else {
			c.note(b[:end])
		}
		b = b[end+1:]
	}
}

// hold keeps the beginning of a line until its rest comes.
func (c *conn) hold(b []byte) {
	c.line = append(c.line, b[:min(len(b), maxLength-len(c.line))]...)
}

// note remembers the name of a property, if line begins with one, and counts lengths.
func (c *conn) note(line []byte) {
	if len(line) > len(lengthHeader) && strings.EqualFold(string(line[:len(lengthHeader)]), lengthHeader) {
		c.lengths++
	}
	if len(line) < len(appPrefix) || !strings.EqualFold(string(line[:len(appPrefix)]), appPrefix) {
		return
	}
	colon := bytes.IndexByte(line[:min(len(line), maxLength)], ':')
	if colon < 0 {
		return
	}
	c.seen++
	name := string(line[:colon])
	lower := strings.ToLower(name)
	if c.names[lower] == name {
		return
	}
	if c.size += len(name); c.names == nil || c.size > maxHeader {
		c.names, c.size = make(map[string]string), len(name)
	}
	c.names[lower] = name
}

// noted is how many names have gone by.
func (c *conn) noted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// forget forgets the names, unless others have gone by since there were n: they are of
// a request that follows. A connection that waits holds none.
func (c *conn) forget(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == n {
		c.names, c.size = nil, 0
	}
}

// spell returns a name in the case in which the client wrote it last.
func (c *conn) spell(lower string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name := c.names[lower]; name != "" {
		return name
	}
	return lower
}

const lengthHeader = "content-length:"

// ambiguous reports whether a request that is chunked may have had a length too. The
// chunks count then, and the connection must close [RFC 9112 6.3]; net/http forgets the
// length and goes on. A body that has such a line costs its client the connection.
func (c *conn) ambiguous(r *http.Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Header.Get("Content-Length") != "" {
		c.lengths = max(0, c.lengths-1)
	}
	return len(r.TransferEncoding) > 0 && c.lengths > 0
}

type connKey struct{}

// connOf is the connection of a request that Serve serves, or nil.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// spellings returns how names are written in the headers of a request.
func spellings(r *http.Request) func(lower string) string {
	if c := connOf(r); c != nil {
		return c.spell
	}
	return func(lower string) string { return lower }
}

// quiet ends the noting on a connection that no longer carries HTTP.
func quiet(r *http.Request) {
	if c := connOf(r); c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.off, c.line, c.names = true, nil, nil
	}
}
