package websocket

import (
	"bufio"
	"bytes"
	"crypto/sha1" // the protocol's
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A HandshakeError says why a request does not become a WebSocket.
type HandshakeError struct {
	Status int // of HTTP
	Text   string
}

// Error says what is wrong, in words for the client.
func (e *HandshakeError) Error() string { return e.Text }

func refuse(status int, format string, args ...any) error {
	return &HandshakeError{status, fmt.Sprintf(format, args...)}
}

// Check reports whether r asks for a WebSocket with one of the subprotocols, and
// returns the first of these that the client knows, as the client writes it. The
// error is a *HandshakeError.
//
// A request with an Origin that is not the host it goes to comes from another site's
// page in a browser, and is refused: the browser would show its user's client
// certificate.
func Check(r *http.Request, protocols []string) (protocol string, err error) {
	key, _ := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key")) // a wrong one is too short
	switch {
	case r.Method != http.MethodGet:
		return "", refuse(http.StatusMethodNotAllowed, "a WebSocket begins with GET")
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor > 1 || !has(r, "Connection", "upgrade") || !has(r, "Upgrade", "websocket"):
		return "", refuse(http.StatusUpgradeRequired, "this path is for WebSockets: HTTP/1.1 with Connection: Upgrade and Upgrade: websocket")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return "", refuse(http.StatusBadRequest, "Sec-WebSocket-Version is not 13")
	case len(r.Header.Values("Sec-WebSocket-Key")) != 1 || len(key) != 16:
		return "", refuse(http.StatusBadRequest, "Sec-WebSocket-Key is not 16 bytes in base64")
	case r.ContentLength != 0:
		return "", refuse(http.StatusBadRequest, "a body does not begin a WebSocket")
	case !sameOrigin(r):
		return "", refuse(http.StatusForbidden, "pages of other sites may not connect")
	}
	offered := tokens(r, "Sec-WebSocket-Protocol")
	for _, p := range protocols {
		if i := slices.IndexFunc(offered, func(o string) bool { return strings.EqualFold(o, p) }); i >= 0 {
			return offered[i], nil
		}
	}
	return "", refuse(http.StatusBadRequest, "no subprotocol of %.200q is served here; these are: %s", offered, strings.Join(protocols, ", "))
}

func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// tokens are the elements of a header that is a list.
func tokens(r *http.Request, header string) []string {
	var all []string
	for _, line := range r.Header.Values(header) {
		for t := range strings.SplitSeq(line, ",") {
			if t = strings.TrimSpace(t); t != "" {
				all = append(all, t)
			}
		}
	}
	return all
}

func has(r *http.Request, header, token string) bool {
	return slices.ContainsFunc(tokens(r, header), func(t string) bool { return strings.EqualFold(t, token) })
}

// guid is the one of RFC 6455, section 1.3.
const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + guid))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// upgradeTime is how long a client may take to take the answer.
const upgradeTime = 10 * time.Second

// Upgrade answers a request that Check has found good, and takes its connection
// over. An error has been answered, or the connection has failed.
func Upgrade(w http.ResponseWriter, r *http.Request, protocol string) (*Conn, error) {
	nc, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection cannot become a WebSocket", http.StatusNotImplemented)
		return nil, fmt.Errorf("websocket: %w", err)
	}
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + acceptKey(r.Header.Get("Sec-WebSocket-Key")) + "\r\n" +
		"Sec-WebSocket-Protocol: " + protocol + "\r\n\r\n"
	_ = nc.SetWriteDeadline(time.Now().Add(upgradeTime)) // an error shows in Write
	if _, err := io.WriteString(nc, answer); err != nil {
		_ = nc.Close() // has failed already
		return nil, fmt.Errorf("websocket: %w", err)
	}
	_ = nc.SetWriteDeadline(time.Time{}) // an error shows in the next Write
	in := io.Reader(nc)
	if early := readAhead(buffered.Reader); len(early) > 0 {
		in = io.MultiReader(bytes.NewReader(early), nc)
	}
	return newConn(nc, in, r.TLS), nil
}

// readAhead is what the HTTP server has read of the stream already.
func readAhead(r *bufio.Reader) []byte {
	early, _ := r.Peek(r.Buffered()) // of what is there
	return bytes.Clone(early)
}
