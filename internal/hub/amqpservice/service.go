package amqpservice

import (
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"sluice/amqp10"
	"sluice/internal/amqphead"
	"sluice/internal/hub/files"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// DefaultGroup is the consumer group that every hub has.
const DefaultGroup = "$Default"

// EventHub is the usual name of the Event Hub.
const EventHub = "sluice-hub"

// A Hub is what the service does for its applications.
type Hub interface {
	// SendCommand stores a command; see [storage.Commands].
	SendCommand(target iot.Identity, m iot.Message) error
	Feedback() storage.Notices[storage.FeedbackRecord]
	// FileNotifications is what is to be told of files; nil: nothing ever.
	FileNotifications() storage.Notices[files.Notification]
}

// Options describe a Service. Hub, Events, Policy and Hosts are required.
type Options struct {
	Hub    Hub
	Events storage.Events
	// Policy finds a shared access policy.
	Policy func(name string) (storage.Policy, bool)
	// Hosts are the hub's names, as tokens carry them. The first is where links to
	// messages/events are redirected.
	Hosts []string
	// Port is where links are redirected: 5671, if zero.
	Port int
	// EventHub is the name of the Event Hub: [EventHub], if empty.
	EventHub string
	// Groups are the consumer groups, besides [DefaultGroup].
	Groups []string
	// Created is when the hub was made.
	Created time.Time

	Log *slog.Logger     // nil discards
	Now func() time.Time // wall clock; nil: time.Now
}

// A Service serves applications. Its methods may be called from any goroutine.
type Service struct {
	opt   Options
	seats seats
}

// New returns a service.
func New(opt Options) *Service {
	if opt.Port == 0 {
		opt.Port = 5671
	}
	if opt.EventHub == "" {
		opt.EventHub = EventHub
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	opt.Groups = append([]string{DefaultGroup}, opt.Groups...)
	return &Service{opt: opt}
}

// Open implements [amqphead.Service].
func (s *Service) Open(c *amqp10.Conn) amqphead.Desk { return newDesk(s, c) }

// Login implements [amqphead.Service].
func (s *Service) Login(c *amqp10.Conn, k amqp10.Credentials) (amqphead.Desk, error) {
	granted, err := s.judgeLogin(k)
	if err != nil {
		return nil, err
	}
	d := newDesk(s, c)
	d.grants = []grant{granted}
	return d, nil
}

// serves reports whether host is a name of this hub. Tokens may name a port.
func (s *Service) serves(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	return slices.ContainsFunc(s.opt.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// group returns the name of a consumer group as it was configured.
func (s *Service) group(name string) (string, bool) {
	for _, g := range s.opt.Groups {
		if strings.EqualFold(g, name) {
			return g, true
		}
	}
	return "", false
}

var _ amqphead.Service = (*Service)(nil)
