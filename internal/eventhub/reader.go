package eventhub

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"sluice/amqp10"
	"sluice/internal/hubevent"
	"sluice/internal/sas"
	"sluice/iot"
)

// DefaultPort is that of AMQP over TLS.
const DefaultPort = 5671

// connectTimeout bounds each step of getting connected.
const connectTimeout = 20 * time.Second

// window is how many events of a partition may be under way.
const window = 200

// Options are how a hub is reached. The zero value is good for Azure IoT Hub.
type Options struct {
	Roots         *x509.CertPool // nil: the system's
	Address       string         // host or IP to connect to instead of the names
	Port          int            // 0: DefaultPort
	ConsumerGroup string         // "": $Default
}

// A Position says where reading begins, in every partition. The zero Position is
// the end: only what comes later is read.
type Position struct {
	Start bool      // with the oldest event
	Time  time.Time // with the first event of this time or later
}

// A Reader reads the events of one hub.
type Reader struct {
	connection sas.ConnectionString
	opt        Options
}

// New makes a reader from the connection string of a policy with the right
// ServiceConnect. It does not connect.
func New(cs sas.ConnectionString, opt Options) (*Reader, error) {
	if cs.PolicyName == "" || cs.Key == "" {
		return nil, fmt.Errorf("event hub: the connection string is not a policy's: it needs SharedAccessKeyName and SharedAccessKey")
	}
	if opt.Port == 0 {
		opt.Port = DefaultPort
	}
	if opt.ConsumerGroup == "" {
		opt.ConsumerGroup = "$Default"
	}
	return &Reader{cs, opt}, nil
}

// Read calls event for each event from a position on, of one partition in order,
// by one goroutine at a time. With follow it goes on until ctx ends, over lost
// connections, of which lost is told, if it is not nil; else it ends with the
// events that were there when it began. It ends early with an error of event, when
// the hub refuses, or when the first connection fails.
func (r *Reader) Read(ctx context.Context, from Position, follow bool, event func(*hubevent.Event) error, lost func(error)) error {
	p := &progress{from: from, next: map[string]int64{}, event: event}
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		before := p.count()
		err := r.readOnce(ctx, p, follow)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case p.failure() != nil:
			return p.failure()
		case !follow || !p.begun() || refusal(err):
			return err
		}
		if lost != nil {
			lost(err)
		}
		if p.count() > before {
			pause = time.Second
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// refusal reports whether the hub said no, and will say so again.
func refusal(err error) bool {
	var auth *amqp10.AuthError
	var e *amqp10.Error
	if errors.As(err, &auth) {
		return true
	}
	return errors.As(err, &e) && e.Remote && e.Condition == "amqp:unauthorized-access"
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// progress is what has been read, over several connections if need be.
type progress struct {
	from Position

	mu     sync.Mutex
	next   map[string]int64 // sequence number by partition; missing: from
	seen   int
	joined bool
	event  func(*hubevent.Event) error
	failed error // of event
}

func (p *progress) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

func (p *progress) begun() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.joined
}

func (p *progress) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// join notes where partitions begin, once: what is new after a break is not new
// any more, and must not be passed over.
func (p *progress) join(parts []partition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.joined {
		return
	}
	p.joined = true
	if p.from.Start || !p.from.Time.IsZero() {
		return
	}
	for _, part := range parts {
		p.next[part.id] = part.last + 1
	}
}

// filter selects what a partition has yet to bring.
func (p *progress) filter(part string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, ok := p.next[part]
	switch {
	case ok:
		return fmt.Sprintf("amqp.annotation.x-opt-sequence-number >= '%d'", next)
	case p.from.Start:
		return "amqp.annotation.x-opt-offset > '-1'"
	}
	return fmt.Sprintf("amqp.annotation.x-opt-enqueued-time > '%d'", p.from.Time.UnixMilli()-1)
}

// take passes an event on.
func (p *progress) take(part string, e *hubevent.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return p.failed
	}
	p.next[part] = int64(e.Sequence) + 1
	p.seen++
	p.failed = p.event(e)
	return p.failed
}

// readOnce reads over one connection.
func (r *Reader) readOnce(ctx context.Context, p *progress, follow bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	at, err := r.discover(ctx)
	if err != nil {
		return err
	}
	conn, err := r.dial(ctx, at.host, &amqp10.Credentials{User: r.connection.PolicyName, Password: r.connection.Key.Reveal()})
	if err != nil {
		return err
	}
	defer conn.CloseWith(nil)
	session, err := conn.NewSession(ctx)
	if err != nil {
		return err
	}
	parts, err := at.partitions(ctx, session)
	if err != nil {
		return err
	}
	p.join(parts)
	var group sync.WaitGroup
	results := make(chan error, len(parts))
	for _, part := range parts {
		group.Go(func() {
			err := r.readPartition(ctx, session, at, part, p, follow)
			if err != nil {
				cancel() // the others begin again with it
			}
			results <- err
		})
	}
	group.Wait()
	for range parts {
		if e := <-results; err == nil || errors.Is(err, context.Canceled) {
			err = e
		}
	}
	return err
}

// readPartition reads one partition: until ctx ends or, without follow, to the
// last event that it had.
func (r *Reader) readPartition(ctx context.Context, session *amqp10.Session, at endpoint, part partition, p *progress, follow bool) error {
	if !follow && part.last < part.first {
		return nil // empty
	}
	link, err := attach(ctx, session, fmt.Sprintf("%s/ConsumerGroups/%s/Partitions/%s", at.entity, r.opt.ConsumerGroup, part.id), p.filter(part.id))
	if err != nil {
		return err
	}
	defer link.CloseWith(nil)
	for {
		d, err := r.receive(ctx, link, part, follow)
		if err != nil || d == nil {
			return err
		}
		m, err := d.Message()
		if err != nil {
			return err
		}
		e := convert(part.id, m)
		d.Accept()
		if err := p.take(part.id, e); err != nil {
			return err
		}
		if !follow && int64(e.Sequence) >= part.last {
			return nil
		}
	}
}

// quiet is how long a reader that does not follow waits for a partition whose last
// event may be gone, or before the position.
const quiet = 3 * time.Second

func (r *Reader) receive(ctx context.Context, link *amqp10.Receiver, part partition, follow bool) (*amqp10.Delivery, error) {
	if follow {
		return link.Receive(ctx)
	}
	wait, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	d, err := link.Receive(wait)
	if err != nil && ctx.Err() == nil && wait.Err() != nil {
		return nil, nil
	}
	return d, err
}

// partitionNumber is the number in an id, which is one at every hub that is known.
func partitionNumber(id string) int {
	n, err := strconv.Atoi(id)
	if err != nil {
		return 0
	}
	return n
}

func (r *Reader) address(host string) string {
	if r.opt.Address != "" {
		host = r.opt.Address
	}
	return net.JoinHostPort(host, strconv.Itoa(r.opt.Port))
}

func unreachable(host string, err error) error {
	return &iot.Error{Kind: iot.Unavailable, Op: "event hub", Detail: host, Err: err}
}
