package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"sluice/amqp10"
	"sluice/internal/hub/code"
	"sluice/internal/sas"
	"sluice/iot"
)

// defaultAMQPPort is where hubs speak AMQP.
const defaultAMQPPort = 5671

// commandsNode is where commands are sent.
const commandsNode = "/messages/devicebound"

// wantsAMQP reports whether err says that the hub does not take commands over
// HTTPS.
func wantsAMQP(err error) bool {
	var r *Refusal
	if !errors.As(err, &r) {
		return false
	}
	return r.Status == 405 || r.Status == 404 && r.Code != code.DeviceNotFound.String() && r.Code != code.ModuleNotFound.String()
}

// sendOverAMQP sends a command over a connection of its own.
func (c *Client) sendOverAMQP(ctx context.Context, id iot.Identity, m *iot.Message) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.dialAMQP(ctx)
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	defer conn.CloseWith(nil)
	session, err := conn.NewSession(ctx)
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	link, err := session.AttachSender(ctx, amqp10.SenderConfig{
		Source: &amqp10.Source{}, Target: &amqp10.Target{Address: commandsNode},
	})
	if err != nil {
		return refusedOverAMQP(id, err)
	}
	outcome, err := link.Deliver(ctx, amqp10.Outgoing{Message: commandMessage(id, m)})
	switch {
	case err != nil:
		return refusedOverAMQP(id, err)
	case outcome.Kind == amqp10.Accepted.Kind:
		return nil
	case outcome.Error != nil:
		return refusedOverAMQP(id, outcome.Error)
	}
	return iot.Errorf(iot.Unavailable, "command", id, "the hub did not take it")
}

// dialAMQP connects as the policy. IoT Hub takes a token for a password of the
// user {policy}@sas.root.{hub}.
func (c *Client) dialAMQP(ctx context.Context) (*amqp10.Conn, error) {
	token, err := sas.Sign(c.creds.Key, sas.Resource{Host: c.host}, c.creds.PolicyName, time.Now().Add(tokenLife))
	if err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(c.host, ".")
	address, port := c.opt.Address, c.opt.AMQPPort
	if address == "" {
		address = c.host
	}
	if port == 0 {
		port = defaultAMQPPort
	}
	conn, err := amqp10.Dial(ctx, net.JoinHostPort(address, strconv.Itoa(port)), amqp10.ClientConfig{
		Hostname: c.host,
		Login:    amqp10.LoginPlain(amqp10.Credentials{User: c.creds.PolicyName + "@sas.root." + name, Password: token}),
		TLS:      &tls.Config{RootCAs: c.opt.Roots, ServerName: c.host, MinVersion: tls.VersionTLS12},
	})
	var auth *amqp10.AuthError
	if errors.As(err, &auth) && !auth.Temporary {
		e := code.Errorf(code.Unauthorized, "command", iot.Identity{}, "the hub does not take the policy's token")
		return nil, e
	}
	return conn, err
}

// commandMessage is a command in the form of AMQP.
func commandMessage(id iot.Identity, m *iot.Message) *amqp10.Message {
	out := amqp10.NewMessage(m.Body)
	p := &amqp10.Properties{To: pathOf(id) + commandsNode}
	if v := m.System.Get(iot.MessageID); v != "" {
		p.MessageID = v
	}
	if v := m.System.Get(iot.CorrelationID); v != "" {
		p.CorrelationID = v
	}
	if v := m.System.Get(iot.UserID); v != "" {
		p.UserID = []byte(v)
	}
	p.ContentType = amqp10.Symbol(m.System.Get(iot.ContentType))
	p.ContentEncoding = amqp10.Symbol(m.System.Get(iot.ContentEncoding))
	p.AbsoluteExpiry = m.Expiry()
	out.Properties = p
	for _, a := range m.Properties {
		out.ApplicationProperties.Set(a.Key, a.Value)
	}
	if v := m.System.Get(iot.Ack); v != "" {
		out.ApplicationProperties.Set("iothub-ack", v)
	}
	return out
}

// conditions are the codes of what hubs refuse commands with over AMQP.
var conditions = map[amqp10.Condition]code.Code{
	amqp10.ErrNotFound:                    code.DeviceNotFound,
	amqp10.ErrResourceLimit:               code.QueueDepthExceeded,
	amqp10.ErrUnauthorized:                code.Unauthorized,
	amqp10.ErrMessageSizeExceeded:         code.MessageTooLarge,
	"com.microsoft:argument-error":        code.ArgumentInvalid,
	"com.microsoft:argument-out-of-range": code.ArgumentInvalid,
}

// refusedOverAMQP is a refusal in the form that those over HTTPS have. Errors of
// the network stay what they are.
func refusedOverAMQP(id iot.Identity, err error) error {
	var e *amqp10.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("command: %w", err)
	}
	what, ok := conditions[e.Condition]
	if !ok {
		return &iot.Error{Kind: iot.Unavailable, Op: "command", Identity: id, Detail: e.Description, Err: e}
	}
	detail := strings.TrimPrefix(e.Description, what.String()+": ")
	if len(detail) > maxDetail {
		detail = detail[:maxDetail] + "…"
	}
	return code.Errorf(what, "command", id, "%s", strings.ToValidUTF8(detail, "?"))
}
