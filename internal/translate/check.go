package translate

import (
	"fmt"
	"slices"
	"strings"

	"sluice/internal/leafwire"
	"sluice/iot"
)

// A saying is a message of the input that was understood.
type saying struct {
	route    leafwire.Route
	kind     kind // 0: an answer
	response leafwire.Response
	pass     bool // of no leaf: to be passed on
}

// understand checks a message of the input. An error means that it is a bad one:
// it will never be anything else.
func (m *Module) understand(msg *iot.Message) (s saying, err error) {
	if input := msg.System.Get(iot.InputName); input != leafwire.Input {
		return s, fmt.Errorf("came on input %.100q, not %s", input, leafwire.Input)
	}
	kindName, err := leafwire.Type(msg)
	if err != nil {
		return s, err
	}
	leaf, found, err := leafwire.Leaf(msg)
	switch {
	case err != nil:
		return s, err
	case !found && kindName == "" && !m.opt.NoPass:
		return saying{pass: true}, nil
	case !found:
		return s, fmt.Errorf("property %s is missing", leafwire.LeafProperty)
	}
	if err := leafwire.ValidateLeaf(leaf, m.id.Device); err != nil {
		return s, fmt.Errorf("leaf id %.150q %w", leaf, err)
	}
	s.route.Leaf = leaf
	if s.route.Module, err = m.speaker(msg); err != nil {
		return s, err
	}
	return s, s.read(kindName, msg)
}

// speaker is the translator that sent a message: who the gateway says it was, or
// where that does not say, who the message says.
func (m *Module) speaker(msg *iot.Message) (string, error) {
	named, err := leafwire.Module(msg)
	if err != nil {
		return "", err
	}
	sender := msg.Sender()
	if sender.Device != "" && sender.Device != m.id.Device || sender.Device != "" && sender.Module == "" {
		return "", fmt.Errorf("was sent by %s, which is no module of this gateway", sender)
	}
	module := sender.Module
	switch {
	case module == "":
		module = named
	case named != "" && !strings.EqualFold(named, module):
		return "", fmt.Errorf("says that it is of module %.150q, and is of %s", named, module)
	}
	allowed := func(name string) bool { return strings.EqualFold(name, module) }
	if len(m.opt.Translators) > 0 && (sender.Module == "" || !slices.ContainsFunc(m.opt.Translators, allowed)) {
		return "", fmt.Errorf("is of module %.150q, which may not speak for leaves", module)
	}
	if module != "" {
		if err := iot.ValidateID(module); err != nil {
			return "", fmt.Errorf("module id %.150q %w", module, err)
		}
	}
	return module, nil
}

// read reads what a message is, and checks its body.
func (s *saying) read(kindName string, msg *iot.Message) (err error) {
	if kindName == leafwire.TypeResponse {
		s.response, err = leafwire.ParseResponse(msg)
		return err
	}
	switch s.kind = kinds[kindName]; s.kind {
	case telemetry:
	case reported:
		_, err = leafwire.ParseReported(msg.Body)
	case hello:
		_, err = leafwire.ParseHello(msg.Body)
	case gone:
		_, err = leafwire.ParseGone(msg.Body)
	default:
		err = fmt.Errorf("%s is %.100q, which translators do not send", leafwire.TypeProperty, kindName)
	}
	return err
}
