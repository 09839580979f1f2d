package amqpservice

import (
	"fmt"

	"sluice/amqp10"
)

// redirect tells an application that knows only the hub's name where its Event Hub
// is [AMQP 3.5.10].
func (s *Service) redirect(a address) *amqp10.Error {
	host := s.opt.Hosts[0]
	e := amqp10.Errorf(amqp10.ErrLinkRedirect, "events are read at the Event Hubs-compatible endpoint, %s", s.opt.EventHub)
	e.Info.Set("hostname", host)
	e.Info.Set("network-host", host)
	e.Info.Set("port", int32(s.opt.Port))
	e.Info.Set("address", fmt.Sprintf("amqps://%s:%d/%s%s", host, s.opt.Port, s.opt.EventHub, a.rest))
	return e
}
