package eventhub

import (
	"context"
	"errors"
	"fmt"

	"sluice/amqp10"
)

// management is a conversation with the node that answers questions about an
// endpoint.
type management struct {
	questions *amqp10.Sender
	answers   *amqp10.Receiver
	asked     int
}

// replyTo names our end, for the answers.
const replyTo = "sluice-management"

func manage(ctx context.Context, session *amqp10.Session) (*management, error) {
	answers, err := session.AttachReceiver(ctx, amqp10.ReceiverConfig{
		Source: &amqp10.Source{Address: managementNode}, Target: &amqp10.Target{Address: replyTo}, Window: 10,
	})
	if err != nil {
		return nil, err
	}
	questions, err := session.AttachSender(ctx, amqp10.SenderConfig{
		Source: &amqp10.Source{Address: replyTo}, Target: &amqp10.Target{Address: managementNode},
	})
	if err != nil {
		answers.CloseWith(nil)
		return nil, err
	}
	return &management{questions: questions, answers: answers}, nil
}

func (m *management) close() {
	m.questions.CloseWith(nil)
	m.answers.CloseWith(nil)
}

// read asks about the event hub, or one of its partitions.
func (m *management) read(ctx context.Context, entity, kind, partition string) (map[string]any, error) {
	m.asked++
	question := &amqp10.Message{
		Properties: &amqp10.Properties{MessageID: fmt.Sprint(m.asked), ReplyTo: replyTo},
	}
	question.ApplicationProperties.Set("operation", "READ")
	question.ApplicationProperties.Set("name", entity)
	question.ApplicationProperties.Set("type", kind)
	if partition != "" {
		question.ApplicationProperties.Set("partition", partition)
	}
	if _, err := m.questions.Deliver(ctx, amqp10.Outgoing{Message: question}); err != nil {
		return nil, err
	}
	d, err := m.answers.Receive(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := d.Message()
	if err != nil {
		return nil, err
	}
	d.Accept()
	return content(answer)
}

// content is what an answer says, unless it is a refusal.
func content(answer *amqp10.Message) (map[string]any, error) {
	status, _ := answer.ApplicationProperties.Get("status-code")
	if code, ok := status.(int32); !ok || code/100 != 2 {
		text, _ := answer.ApplicationProperties.Get("status-description")
		return nil, fmt.Errorf("event hub: refused with status %v: %v", status, text)
	}
	entries, ok := answer.Value.(amqp10.Map)
	if !ok {
		return nil, errors.New("event hub: an answer that is no map")
	}
	said := make(map[string]any, len(entries))
	for _, e := range entries {
		if key, ok := e.Key.(string); ok {
			said[key] = e.Value
		}
	}
	return said, nil
}

// texts makes a list of text of an AMQP array or list.
func texts(v any) ([]string, error) {
	var list []any
	switch v := v.(type) {
	case amqp10.Array:
		list = v.Elems
	case []any:
		list = v
	case []string:
		return v, nil
	default:
		return nil, fmt.Errorf("it is a %T", v)
	}
	out := make([]string, len(list))
	for i, item := range list {
		text, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("it has a %T in it", item)
		}
		out[i] = text
	}
	return out, nil
}
