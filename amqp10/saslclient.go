package amqp10

import (
	"errors"
	"fmt"
	"slices"

	"sluice/amqp10/internal/frame"
)

// Login is how a client authenticates: LoginPlain, LoginAnonymous,
// LoginExternal or LoginMSSBCBS.
type Login struct {
	mechanism Symbol
	response  []byte
}

// LoginPlain authenticates with a user and a password.
func LoginPlain(k Credentials) *Login {
	return &Login{MechanismPlain, []byte(k.AuthorizationID + "\x00" + k.User + "\x00" + k.Password)}
}

// LoginAnonymous authenticates as nobody.
func LoginAnonymous() *Login { return &Login{MechanismAnonymous, []byte("anonymous")} }

// LoginExternal authenticates by what is below, such as a client certificate;
// as names the identity to take, "" the one that the certificate gives.
func LoginExternal(as string) *Login { return &Login{MechanismExternal, []byte(as)} }

// LoginMSSBCBS is for servers that take claims on $cbs afterwards.
func LoginMSSBCBS() *Login { return &Login{MechanismMSSBCBS, []byte{}} }

// login is the client's side of the SASL exchange.
func (c *Conn) login(l *Login) error {
	c.appendHeader(frame.ProtoSASL)
	if err := c.flushNow(); err != nil {
		return err
	}
	if err := c.expectHeader(frame.ProtoSASL); err != nil {
		return err
	}
	d, err := c.saslFrame(frame.CodeMechanisms)
	if err != nil {
		return err
	}
	names := frame.DecodeMechanisms(&d)
	switch {
	case d.Err() != nil:
		return fmt.Errorf("sasl-mechanisms: %w", d.Err())
	case !slices.Contains(names, l.mechanism):
		return &AuthError{Cause: fmt.Errorf("the server offers %v, not %s", names, l.mechanism)}
	}
	in := frame.Init{Mechanism: l.mechanism, Response: l.response, Hostname: c.own.Hostname}
	in.Append(c.w())
	if err := c.flushNow(); err != nil {
		return err
	}
	c.mechanism = l.mechanism
	return c.outcome()
}

func (c *Conn) outcome() error {
	d, err := c.saslFrame(frame.CodeOutcome)
	if err != nil {
		return err
	}
	code := frame.DecodeOutcome(&d)
	switch {
	case d.Err() != nil:
		return fmt.Errorf("sasl-outcome: %w", d.Err())
	case code == frame.SASLOK:
		return nil
	case code == frame.SASLAuth:
		return &AuthError{Cause: errors.New("the server refused the credentials")}
	}
	return &AuthError{Temporary: code != frame.SASLSysPerm, Cause: fmt.Errorf("the server failed with code %d", code)}
}

// expectHeader reads the peer's protocol header.
func (c *Conn) expectHeader(want string) error {
	got, err := c.rd.header()
	if err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("%w: its header is %q, want %q", errProtocol, got, want)
	}
	return nil
}
