package amqp10

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// Names of the SASL mechanisms that this package knows.
const (
	MechanismAnonymous Symbol = "ANONYMOUS"
	MechanismPlain     Symbol = "PLAIN"
	MechanismExternal  Symbol = "EXTERNAL"
	// MechanismMSSBCBS lets the peer in to authorize itself by claims, on the
	// node $cbs. It carries nothing.
	MechanismMSSBCBS Symbol = "MSSBCBS"
)

// Mechanism is a SASL mechanism that a server offers. Anonymous, Plain,
// External and MSSBCBS make one.
type Mechanism struct {
	name         Symbol
	authenticate func(ctx context.Context, c *Conn, response []byte) (any, error)
}

// Name returns the name under which the mechanism is offered.
func (m *Mechanism) Name() Symbol { return m.name }

// ErrTryLater tells a peer that it could not be judged now. Other errors of
// an authentication tell it that its credentials are wrong, and nothing else.
var ErrTryLater = errors.New("amqp10: authentication is not possible at present")

// Credentials are what PLAIN carries [RFC 4616].
type Credentials struct {
	AuthorizationID string // on whose behalf; "" for the user's own
	User            string
	Password        string
}

// Anonymous lets everybody in whom judge does not refuse; judge may be nil. What
// it returns is Conn.Identity.
func Anonymous(judge func(ctx context.Context, c *Conn) (identity any, err error)) *Mechanism {
	return unjudged(MechanismAnonymous, judge)
}

// MSSBCBS is like Anonymous under its own name.
func MSSBCBS(judge func(ctx context.Context, c *Conn) (identity any, err error)) *Mechanism {
	return unjudged(MechanismMSSBCBS, judge)
}

// External takes the peer for whom the layer below knows it, such as by its
// certificate in c.TLS(). It is offered to peers with a certificate.
func External(judge func(ctx context.Context, c *Conn) (identity any, err error)) *Mechanism {
	return unjudged(MechanismExternal, judge)
}

func unjudged(name Symbol, judge func(context.Context, *Conn) (any, error)) *Mechanism {
	return &Mechanism{name, func(ctx context.Context, c *Conn, _ []byte) (any, error) {
		if judge == nil {
			return nil, nil
		}
		return judge(ctx, c)
	}}
}

// Plain judges a user and a password. It belongs on connections with TLS.
func Plain(judge func(ctx context.Context, c *Conn, k Credentials) (identity any, err error)) *Mechanism {
	return &Mechanism{MechanismPlain, func(ctx context.Context, c *Conn, response []byte) (any, error) {
		parts := bytes.Split(response, []byte{0})
		if len(parts) != 3 || len(parts[1]) == 0 {
			return nil, errors.New("response is not authzid NUL authcid NUL password")
		}
		return judge(ctx, c, Credentials{string(parts[0]), string(parts[1]), string(parts[2])})
	}}
}

// offered are the mechanisms for this peer: EXTERNAL only for one that has
// shown a certificate, since clients prefer it when it is there.
func (c *Conn) offered(all []*Mechanism) []*Mechanism {
	t := c.TLS()
	return slices.DeleteFunc(slices.Clone(all), func(m *Mechanism) bool {
		return m.name == MechanismExternal && (t == nil || len(t.PeerCertificates) == 0)
	})
}

// authenticate is the server's side of the SASL exchange [AMQP 5.3.2]; the
// headers have been exchanged. A peer that fails gets its outcome, and the
// connection ends.
func (c *Conn) authenticate(ctx context.Context, all []*Mechanism) error {
	offer := c.offered(all)
	names := make([]Symbol, len(offer))
	for i, m := range offer {
		names[i] = m.name
	}
	frame.AppendMechanisms(c.w(), names)
	if err := c.flushNow(); err != nil {
		return err
	}
	d, err := c.saslFrame(frame.CodeInit)
	if err != nil {
		return err
	}
	in := frame.DecodeInit(&d)
	if d.Err() != nil {
		return fmt.Errorf("sasl-init: %w", d.Err())
	}
	i := slices.IndexFunc(offer, func(m *Mechanism) bool { return m.name == in.Mechanism })
	if i < 0 {
		return c.refuse(fmt.Errorf("mechanism %q is not offered", in.Mechanism))
	}
	response, err := c.response(offer[i], in.Response)
	if err != nil {
		return err
	}
	return c.judge(ctx, offer[i], response)
}

// response returns the initial response of PLAIN, or else asks for it.
func (c *Conn) response(m *Mechanism, initial []byte) ([]byte, error) {
	initial = bytes.Clone(initial)
	if initial != nil || m.name != MechanismPlain {
		return initial, nil
	}
	frame.AppendStep(c.w(), frame.CodeChallenge, nil)
	if err := c.flushNow(); err != nil {
		return nil, err
	}
	d, err := c.saslFrame(frame.CodeResponse)
	if err != nil {
		return nil, err
	}
	b := bytes.Clone(frame.DecodeStep(&d))
	return b, d.Err()
}

func (c *Conn) judge(ctx context.Context, m *Mechanism, response []byte) error {
	id, err := m.authenticate(ctx, c, response)
	if err != nil {
		return c.refuse(fmt.Errorf("%s: %w", m.name, err))
	}
	c.identity, c.mechanism = id, m.name
	frame.AppendOutcome(c.w(), frame.SASLOK)
	return c.flushNow()
}

func (c *Conn) refuse(why error) error {
	code := frame.SASLAuth
	if errors.Is(why, ErrTryLater) {
		code = frame.SASLSysTemp
	}
	frame.AppendOutcome(c.w(), code)
	c.turnedAway = c.flushNow() == nil
	return &AuthError{Temporary: code == frame.SASLSysTemp, Cause: why}
}

// AuthError ends a connection whose SASL exchange failed.
type AuthError struct {
	// Temporary says that trying again may help.
	Temporary bool
	// Cause is why; a client learns nothing more from its server.
	Cause error
}

// Error says why.
func (e *AuthError) Error() string { return "authentication failed: " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *AuthError) Unwrap() error { return e.Cause }

// saslFrame reads a SASL frame with the performative want.
func (c *Conn) saslFrame(want uint64) (wire.Decoder, error) {
	_, body, err := c.rd.next(maxSASLFrame, frame.TypeSASL)
	if err != nil {
		return wire.Decoder{}, err
	}
	d := wire.NewDecoder(body)
	if code := frame.Descriptor(&d); d.Err() != nil {
		return d, fmt.Errorf("sasl: %w", d.Err())
	} else if code != want {
		return d, fmt.Errorf("sasl: performative %#x, want %#x", code, want)
	}
	return d, nil
}
