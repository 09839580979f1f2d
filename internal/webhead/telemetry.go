package webhead

import (
	"context"
	"errors"
	"mime"
	"strings"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// batchType is the content type of several messages in one request.
const batchType = "application/vnd.microsoft.iothub.json"

// maxBatch is the largest batch, in bytes of JSON. Bodies in base64 then come to at
// most 384 KiB.
const maxBatch = 512 << 10

// postEvents answers when the hub has the messages safe.
func (c *call) postEvents() (answer, error) {
	batch, err := c.readEvents()
	if err != nil || len(batch) == 0 {
		return answer{}, err
	}
	ctx, cancel := c.operate()
	defer cancel()
	return answer{}, c.sendEvents(ctx, batch)
}

func (c *call) sendEvents(ctx context.Context, batch []iot.Message) error {
	done := make(chan error, 1)
	c.session.hub.Send(batch, func(err error) { done <- err })
	select {
	case err := <-done:
		return c.sessionError(err)
	case <-ctx.Done():
		// It may become safe all the same. Delivery is at least once.
		return code.Errorf(code.ServiceUnavailable, "send", c.id, "the hub did not make the messages safe in time")
	}
}

// sessionError is an error of the session as the client gets it. That another
// connection of the identity has taken the session over is nothing that the request
// did wrong: it may come again.
func (c *call) sessionError(err error) error {
	if errors.Is(err, iot.ErrTakenOver) {
		return code.Errorf(code.ServiceUnavailable, "request", c.id, "%v", err)
	}
	return err
}

// readEvents reads one message or a batch.
func (c *call) readEvents() ([]iot.Message, error) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err == nil && strings.EqualFold(kind, batchType) {
		return c.readBatch()
	}
	body, err := c.read(iot.MaxMessageSize)
	if err != nil {
		return nil, err
	}
	m := iot.Message{Body: body}
	if err := readHeaders(c.r.Header, spellings(c.r), &m); err != nil {
		return nil, err
	}
	if err := c.check(&m); err != nil {
		return nil, err
	}
	return []iot.Message{m}, nil
}

// check judges a message that was read, and completes it.
func (c *call) check(m *iot.Message) error {
	if n := m.Size(); n > iot.MaxMessageSize {
		return code.Errorf(code.MessageTooLarge, "send", c.id, "a message of %d bytes, properties included; at most %d", n, iot.MaxMessageSize)
	}
	// SDKs say to which path they post; that is not the message's.
	if to := m.System.Get(iot.To); strings.HasPrefix(to, "/devices/") && strings.HasSuffix(strings.ToLower(to), "/messages/events") {
		m.System.Set(iot.To, "")
	}
	return nil
}
