package eventhub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"sluice/amqp10"
	"sluice/internal/sas"
)

// An endpoint is where a hub's events are.
type endpoint struct {
	host   string
	entity string // the Event Hub's name
}

// A partition, and what it holds.
type partition struct {
	id    string
	first int64 // sequence number of the oldest event
	last  int64 // of the newest; less than first if there is none
}

// The nodes of a hub's events, and of an endpoint's answers about itself.
const (
	eventsNode     = "messages/events"
	managementNode = "$management"
)

// discover finds the endpoint: the hub says where it is by refusing to be it.
func (r *Reader) discover(ctx context.Context) (endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	host := r.connection.HostName
	token, err := sas.Sign(r.connection.Key, sas.Resource{Host: host, Rest: eventsNode}, r.connection.PolicyName, time.Now().Add(time.Hour))
	if err != nil {
		return endpoint{}, err
	}
	name, _, _ := strings.Cut(host, ".")
	conn, err := r.dial(ctx, host, &amqp10.Credentials{User: r.connection.PolicyName + "@sas.root." + name, Password: token})
	if err != nil {
		return endpoint{}, err
	}
	defer conn.CloseWith(nil)
	session, err := conn.NewSession(ctx)
	if err != nil {
		return endpoint{}, err
	}
	link, err := session.AttachReceiver(ctx, amqp10.ReceiverConfig{
		Source: &amqp10.Source{Address: "amqps://" + host + "/" + eventsNode + "/" + managementNode},
		Target: &amqp10.Target{},
	})
	if err == nil {
		link.CloseWith(nil)
		return endpoint{}, fmt.Errorf("event hub: %s does not say where its events are", host)
	}
	return redirected(err)
}

// redirected reads where a refusal leads.
func redirected(err error) (endpoint, error) {
	var e *amqp10.Error
	if !errors.As(err, &e) || e.Condition != "amqp:link:redirect" {
		return endpoint{}, err
	}
	host := string(e.Info.Text("hostname"))
	address := string(e.Info.Text("address"))
	u, err := url.Parse(address)
	if err != nil {
		return endpoint{}, fmt.Errorf("event hub: redirected to %q: %w", address, err)
	}
	entity := strings.Trim(strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), managementNode), "/")
	if host == "" {
		host = u.Hostname()
	}
	if host == "" || entity == "" {
		return endpoint{}, fmt.Errorf("event hub: redirected to %q on host %q, which names no event hub", address, host)
	}
	return endpoint{host, entity}, nil
}

// dial connects and logs in.
func (r *Reader) dial(ctx context.Context, host string, k *amqp10.Credentials) (*amqp10.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := amqp10.Dial(ctx, r.address(host), amqp10.ClientConfig{
		Hostname: host,
		Login:    amqp10.LoginPlain(*k),
		TLS:      &tls.Config{RootCAs: r.opt.Roots, ServerName: host, MinVersion: tls.VersionTLS12},
	})
	var auth *amqp10.AuthError
	if err != nil && !errors.As(err, &auth) {
		return nil, unreachable(host, err)
	}
	return conn, err
}

// attach attaches a receiver that has a filter, if that is not empty.
func attach(ctx context.Context, session *amqp10.Session, address, filter string) (*amqp10.Receiver, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	source := &amqp10.Source{Address: address}
	if filter != "" {
		const selector = "apache.org:selector-filter:string"
		source.Filter.Set(selector, amqp10.Described{Descriptor: amqp10.Symbol(selector), Value: filter})
	}
	return session.AttachReceiver(ctx, amqp10.ReceiverConfig{Source: source, Target: &amqp10.Target{}, Window: window})
}

// partitions asks which partitions there are, and what they hold.
func (at endpoint) partitions(ctx context.Context, session *amqp10.Session) ([]partition, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	m, err := manage(ctx, session)
	if err != nil {
		return nil, err
	}
	defer m.close()
	hub, err := m.read(ctx, at.entity, "com.microsoft:eventhub", "")
	if err != nil {
		return nil, err
	}
	ids, err := texts(hub["partition_ids"])
	if err != nil {
		return nil, fmt.Errorf("event hub: partition_ids: %w", err)
	}
	parts := make([]partition, 0, len(ids))
	for _, id := range ids {
		info, err := m.read(ctx, at.entity, "com.microsoft:partition", id)
		if err != nil {
			return nil, err
		}
		first, ok1 := info["begin_sequence_number"].(int64)
		last, ok2 := info["last_enqueued_sequence_number"].(int64)
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("event hub: partition %s does not say what it holds", id)
		}
		parts = append(parts, partition{id, first, last})
	}
	return parts, nil
}
