package mqttbridge

import (
	"context"
	"encoding/json"
	"sync"

	"sluice/iot"
	"sluice/translator"
)

// leaves are those that were heard since the start.
type leaves struct {
	mu   sync.Mutex
	byID map[string]*leaf
}

// leaf is what the bridge knows of one. Guarded by leaves.
type leaf struct {
	translator.Leaf
	greeted bool
	said    translator.Capabilities
	desired json.RawMessage // all of them; nil while not known
}

// known finds a leaf, and greets the gateway for it if it is new.
func (b *Bridge) known(ctx context.Context, id string) (translator.Leaf, error) {
	l, err := b.leaf(id)
	if err != nil {
		return translator.Leaf{}, err
	}
	return l.Leaf, b.hello(ctx, l)
}

// leaf finds a leaf, or makes one.
func (b *Bridge) leaf(id string) (*leaf, error) {
	b.leaves.mu.Lock()
	defer b.leaves.mu.Unlock()
	if l := b.leaves.byID[id]; l != nil {
		return l, nil
	}
	handle, err := b.t.Leaf(id)
	if err != nil {
		return nil, err
	}
	if len(b.leaves.byID) >= b.cfg.MaxLeaves {
		return nil, refuse("there are %d leaves, and max_leaves in the configuration allows no more", b.cfg.MaxLeaves)
	}
	if b.leaves.byID == nil {
		b.leaves.byID = make(map[string]*leaf)
	}
	l := &leaf{Leaf: handle}
	b.leaves.byID[id] = l
	b.Stats.Leaves.Add(1)
	return l, nil
}

// isKnown reports whether a leaf was heard.
func (b *Bridge) isKnown(id string) bool {
	b.leaves.mu.Lock()
	defer b.leaves.mu.Unlock()
	return b.leaves.byID[id] != nil
}

// ids lists the leaves that are known.
func (b *Bridge) ids() []string {
	b.leaves.mu.Lock()
	defer b.leaves.mu.Unlock()
	list := make([]string, 0, len(b.leaves.byID))
	for id := range b.leaves.byID {
		list = append(list, id)
	}
	return list
}

// greet says what a leaf can take, if that changed. A leaf that only listens is
// made known by this.
func (b *Bridge) greet(ctx context.Context, id string) {
	l, err := b.leaf(id)
	if err != nil {
		b.Stats.Refused.Add(1)
		b.refused.tell(&publication{topic: "a subscription"}, err)
		return
	}
	if err := b.hello(ctx, l); err != nil {
		b.log.Warn("what a leaf can take is not known at the gateway", "leaf", id, "error", err)
	}
}

// hello tells the gateway what a leaf can take, if that is news.
func (b *Bridge) hello(ctx context.Context, l *leaf) error {
	can := b.field.can(l.ID())
	b.leaves.mu.Lock()
	news := !l.greeted || l.said != can
	l.greeted, l.said = true, can
	if !can.Desired {
		l.desired = nil // nobody tells of its changes from now on
	}
	b.leaves.mu.Unlock()
	if !news {
		return nil
	}
	unsaid := func(err error) {
		if err != nil {
			b.leaves.mu.Lock()
			l.greeted = false
			b.leaves.mu.Unlock()
		}
	}
	err := l.PostHello(ctx, can, unsaid)
	unsaid(err)
	return err
}

// desired keeps a leaf's desired properties, and hands all of them to the leaf:
// devices of the field are spared the merging of patches.
func (b *Bridge) desired(handle translator.Leaf, d translator.Desired) {
	l, err := b.leaf(handle.ID())
	if err != nil {
		return
	}
	b.leaves.mu.Lock()
	switch {
	case d.Full:
		l.desired = d.Properties
	case l.desired != nil:
		l.desired = merged(l.desired, d.Properties)
	}
	all := l.desired
	b.leaves.mu.Unlock()
	if all == nil {
		// A patch of what is not known: this bridge is younger than the translator
		// that the gateway remembers.
		b.forget(l.ID())
		b.in.greetings(l.ID())
		return
	}
	if topic := b.mapping.Load().down[desired]; topic != nil {
		b.field.deliver(delivery{desired, l.ID(), topic.topic("id", l.ID()), all, true}, func(err error) {
			if err != nil {
				b.log.Debug("a leaf did not get its desired properties", "leaf", l.ID(), "error", err)
			}
		})
	}
}

// forget makes a leaf, if it is known, one that is to be greeted.
func (b *Bridge) forget(id string) {
	b.leaves.mu.Lock()
	defer b.leaves.mu.Unlock()
	if l := b.leaves.byID[id]; l != nil {
		l.greeted = false
	}
}

// lastDesired are a leaf's desired properties, if they are known.
func (b *Bridge) lastDesired(id string) json.RawMessage {
	b.leaves.mu.Lock()
	defer b.leaves.mu.Unlock()
	if l := b.leaves.byID[id]; l != nil {
		return l.desired
	}
	return nil
}

// merged applies a patch to a document. Both come from the gateway, which has
// limited their depth. If one is not an object the patch is all there is.
func merged(document, patch json.RawMessage) json.RawMessage {
	var to, from map[string]json.RawMessage
	if json.Unmarshal(document, &to) != nil || json.Unmarshal(patch, &from) != nil || to == nil || from == nil {
		return patch
	}
	for key, v := range from {
		switch {
		case string(v) == "null":
			delete(to, key)
		case v[0] == '{' && len(to[key]) > 0 && to[key][0] == '{':
			to[key] = merged(to[key], v)
		case v[0] == '{':
			to[key] = merged(json.RawMessage("{}"), v) // null within removes nothing
		default:
			to[key] = v
		}
	}
	out, err := json.Marshal(to)
	if err != nil {
		return patch
	}
	return out
}

func (b *Bridge) state(handle translator.Leaf, s translator.State) {
	b.log.Info("a leaf's state", "leaf", handle.ID(), "state", s.Name, "reason", s.Reason)
	if s.Name == translator.Deleted {
		b.forget(handle.ID()) // if it comes back it is new to everybody
	}
	topic := b.mapping.Load().down[state]
	if topic == nil {
		return
	}
	body, err := json.Marshal(map[string]string{"state": s.Name, "reason": s.Reason})
	if err != nil {
		return // of two strings it cannot fail
	}
	b.field.deliver(delivery{state, handle.ID(), topic.topic("id", handle.ID()), body, false}, func(error) {})
}

// command gives a cloud-to-device message to its leaf. One that nobody takes is not
// settled: it is abandoned after a minute, and comes again then, rather than at once
// and for ever.
func (b *Bridge) command(c *translator.Command) {
	topic := b.mapping.Load().down[command]
	if topic == nil {
		c.Settle(iot.Reject)
		return
	}
	b.field.deliver(delivery{command, c.Leaf.ID(), topic.topic("id", c.Leaf.ID()), c.Message.Body, false}, func(err error) {
		if err == nil {
			c.Settle(iot.Complete)
			return
		}
		b.log.Warn("a leaf did not take a command, which comes again", "leaf", c.Leaf.ID(), "error", err)
	})
}
