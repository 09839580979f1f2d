package hub

import (
	"errors"

	"sluice/internal/auth"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/throttle"
	"sluice/iot"
)

// Send stores telemetry in the event log, under the identity of the session
// whatever the messages say.
func (s *session) Send(batch []iot.Message, done func(error)) {
	if err := s.Err(); err != nil {
		done(err)
		return
	}
	if err := s.h.throttled(throttle.Send, len(batch), s.Identity()); err != nil {
		done(err)
		return
	}
	proof := s.Proof()
	method := authMethod(s.Identity(), proof.Method)
	for i := range batch {
		if n := batch[i].Size(); n > iot.MaxMessageSize {
			done(iot.Errorf(iot.TooLarge, "send", s.Identity(), "message of %d bytes, limit %d", n, iot.MaxMessageSize))
			return
		}
		stamp(&batch[i], s.Identity(), proof.Registration.GenerationID, method)
		if model := s.Client().ModelID; model != "" {
			batch[i].System.Set(iot.ModelID, model)
		}
	}
	s.h.enrich(s.Identity(), s.generation(), batch)
	s.h.seen.note(s.Identity(), s.h.opt.Now())
	s.h.opt.Events.Append(s.Identity(), batch, func(err error) { done(sendError(s.Identity(), err)) })
}

func stamp(m *iot.Message, sender iot.Identity, generation, method string) {
	m.Stamp(sender)
	m.System.Set(iot.ConnectionDeviceGenerationID, generation)
	m.System.Set(iot.ConnectionAuthMethod, method)
}

// authMethod is the value of iothub-connection-auth-method.
func authMethod(sender iot.Identity, method auth.Method) string {
	scope, kind, issuer := "device", "sas", "iothub"
	if sender.IsModule() {
		scope = "module"
	}
	if method == auth.ByThumbprint || method == auth.ByCA {
		kind, issuer = string(method), "external"
	}
	return `{"scope":"` + scope + `","type":"` + kind + `","issuer":"` + issuer + `"}`
}

func sendError(id iot.Identity, err error) error {
	if err == nil {
		return nil
	}
	kind := iot.Internal
	if errors.Is(err, storage.ErrNoSpace) || errors.Is(err, storage.ErrClosed) {
		kind = iot.Unavailable
	}
	return &iot.Error{Kind: kind, Op: "send", Identity: id, Err: err}
}
