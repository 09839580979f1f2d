package amqpservice

import (
	"strings"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/internal/hub/code"
	"sluice/iot"
)

// commandWindow is how many commands of one link may be on their way to the disk.
const commandWindow = 100

// settleFirst is how links settle on which clients send, whatever they ask for:
// Azure's client in C asks for second, and means first.
var settleFirst = new(amqp10.ReceiveFirst)

// acceptCommands accepts a link on which an application sends commands. Each is
// stored in a goroutine of its own, so that they share the disk; they are as many
// as the window.
func (d *desk) acceptCommands(r *amqp10.LinkRequest, l *link) *amqp10.Error {
	d.accepted(l, r.AcceptReceiver(amqp10.ReceiverConfig{
		ReceiverMode: settleFirst,
		Window:       commandWindow,
		OnDelivery: func(in *amqp10.Delivery) {
			target, m, err := readCommand(in)
			if err != nil {
				in.Reject(conditionOf(err))
				return
			}
			d.work.Go(func() { d.sendCommand(in, target, m) })
		},
		OnClose: func(error) { d.gone(l) },
	}))
	return nil
}

func (d *desk) sendCommand(in *amqp10.Delivery, target iot.Identity, m iot.Message) {
	if err := d.service.opt.Hub.SendCommand(target, m); err != nil {
		d.service.opt.Log.Info("amqpservice: command refused", "identity", target.String(), "err", err)
		in.Reject(conditionOf(err))
		return
	}
	in.Accept()
}

func readCommand(in *amqp10.Delivery) (target iot.Identity, m iot.Message, err error) {
	msg, err := in.Message()
	if err != nil {
		return target, m, &iot.Error{Kind: iot.Invalid, Op: "command", Detail: err.Error(), Err: err}
	}
	if err := amqpmsg.ReadTelemetry(msg, &m); err != nil {
		return target, m, err
	}
	target, err = parseTarget(m.System.Get(iot.To))
	return target, m, err
}

// parseTarget reads whom a command is for, from its property to:
//
//	/devices/{d}[/modules/{m}]/messages/devicebound
func parseTarget(to string) (iot.Identity, error) {
	s := strings.Split(strings.Trim(to, "/"), "/")
	var id iot.Identity
	switch {
	case len(s) == 4 && strings.EqualFold(strings.Join([]string{s[0], s[2], s[3]}, "/"), "devices/messages/devicebound"):
		id = iot.DeviceIdentity(unescape(s[1]))
	case len(s) == 6 && strings.EqualFold(strings.Join([]string{s[0], s[2], s[4], s[5]}, "/"), "devices/modules/messages/devicebound"):
		id = iot.ModuleIdentity(unescape(s[1]), unescape(s[3]))
		if id.Module == "" {
			return id, code.Errorf(code.ArgumentInvalid, "command", iot.Identity{}, "to is %.300q: it names no module", to)
		}
	default:
		return id, code.Errorf(code.ArgumentInvalid, "command", iot.Identity{}, "to is %.300q: it must be /devices/{device}/messages/devicebound", to)
	}
	if err := id.Validate(); err != nil {
		return id, code.Errorf(code.ArgumentInvalid, "command", iot.Identity{}, "to is %.300q: %v", to, err)
	}
	return id, nil
}
