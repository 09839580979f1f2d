package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"sluice/internal/sas"
)

// A Target is a server and how clients log in to it.
type Target struct {
	Address string      // host:port
	TLS     *tls.Config // nil for none
	AMQP    bool        // it speaks AMQP 1.0; or else MQTT 3.1.1
	Login   func(n int) (Login, error)
}

// A Login is what one client says of itself, and where it publishes. Over AMQP,
// ClientID names its container, Host the virtual host, and Topic is the address of
// the link; without a Username it is anonymous.
type Login struct {
	ClientID, Username, Password, Topic, Host string
}

// Templates make logins: in each, {n} stands for the client's number, from 0.
type Templates struct {
	ClientID, Username, Password, Topic string

	// ConnectionString, if not empty, makes all that above is left empty in the
	// way of a device SDK, with a token.
	ConnectionString string

	AMQP bool // the way that SDK speaks AMQP
}

// apiVersion is the one that IoT Hub's SDKs name today.
const apiVersion = "2021-04-12"

// tokenLife is how long a token is valid: longer than any measurement.
const tokenLife = 24 * time.Hour

// Login makes the login of client n.
func (t Templates) Login(n int) (Login, error) {
	fill := func(s string) string { return strings.ReplaceAll(s, "{n}", strconv.Itoa(n)) }
	l := Login{fill(t.ClientID), fill(t.Username), fill(t.Password), fill(t.Topic), ""}
	if t.ConnectionString == "" {
		l.ClientID = either(l.ClientID, fmt.Sprint("sluice-bench-", n))
		l.Topic = either(l.Topic, fmt.Sprint("sluice-bench/", n))
		return l, nil
	}
	c, err := sas.ParseConnectionString(fill(t.ConnectionString))
	if err != nil {
		return l, fmt.Errorf("connection string: %w", err)
	}
	if c.Identity.IsZero() {
		return l, errors.New("connection string: names no device")
	}
	id := c.Identity.String()
	l.ClientID = either(l.ClientID, id)
	node := "devices/" + strings.Replace(id, "/", "/modules/", 1) + "/messages/events"
	if t.AMQP {
		l.Host = c.HostName
		l.Username = either(l.Username, id+"@sas."+c.HostName)
		l.Topic = either(l.Topic, "/"+node)
	} else {
		l.Username = either(l.Username, c.HostName+"/"+id+"/?api-version="+apiVersion+"&DeviceClientType=sluice-bench")
		l.Topic = either(l.Topic, node+"/")
	}
	if l.Password == "" {
		resource := sas.Resource{Host: strings.ToLower(c.HostName), Identity: c.Identity}
		if l.Password, err = sas.Sign(c.Key, resource, "", time.Now().Add(tokenLife)); err != nil {
			return l, fmt.Errorf("connection string: %w", err)
		}
	}
	return l, nil
}

func either(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

const (
	dialTimeout = 20 * time.Second
	// idleKeepAlive is longer than any measurement of idle connections.
	idleKeepAlive = 900
)

// connect opens the connection of client n and logs it in.
func (t *Target) connect(ctx context.Context, n int, keepAlive uint16) (net.Conn, Login, error) {
	login, err := t.Login(n)
	if err != nil {
		return nil, login, err
	}
	nc, err := t.dial(ctx)
	if err != nil {
		return nil, login, err
	}
	if err := logIn(nc, &login, keepAlive); err != nil {
		_ = nc.Close() // the first error says more
		return nil, login, fmt.Errorf("log in as %s: %w", login.ClientID, err)
	}
	return nc, login, nil
}

func (t *Target) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if t.TLS == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", t.Address)
	}
	return (&tls.Dialer{Config: t.TLS}).DialContext(ctx, "tcp", t.Address)
}

func logIn(nc net.Conn, l *Login, keepAlive uint16) error {
	if err := nc.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	if _, err := nc.Write(appendConnect(nil, l, keepAlive)); err != nil {
		return err
	}
	buf := make([]byte, 0, 64)
	for {
		n, err := nc.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return err
		}
		buf = buf[:len(buf)+n]
		kind, body, rest, err := cutPacket(buf)
		switch {
		case err != nil:
			return err
		case rest == nil && len(buf) == cap(buf):
			return errMalformed
		case rest == nil:
			continue
		case kind != packetConnack || len(body) != 2:
			return errMalformed
		case body[1] != 0:
			return &RefusedError{Code: body[1]}
		}
		return nc.SetDeadline(time.Time{})
	}
}
