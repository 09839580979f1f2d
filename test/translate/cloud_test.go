package translate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/internal/await"
	"sluice/internal/hub/storage"
	"sluice/internal/leafwire"
	"sluice/internal/sas"
	"sluice/iot"
)

// A cloud reads the hub's events: it notes what leaves sent, and answers the
// identity module's requests.
type cloud struct {
	s    *site
	stop func()

	mu      sync.Mutex
	refuse  map[string]bool
	mute    bool                // does not answer
	code    int                 // answers so, if not 0
	created map[string]int      // how often a leaf was created
	asked   map[string]int      // how often it was asked for
	got     map[string][]string // bodies of each sender, in order
	msgs    map[string][]iot.Message
	work    sync.WaitGroup
}

func newCloud(s *site) *cloud {
	c := &cloud{
		s: s, refuse: map[string]bool{}, created: map[string]int{}, asked: map[string]int{},
		got: map[string][]string{}, msgs: map[string][]iot.Message{},
	}
	c.stop = await.Run(func(ctx context.Context) {
		var all sync.WaitGroup
		for p := range s.events.Partitions() {
			all.Go(func() { c.read(ctx, p) })
		}
		all.Wait()
		c.work.Wait()
	})
	s.t.Cleanup(c.stop)
	return c
}

func (c *cloud) read(ctx context.Context, partition int) {
	r, err := c.s.events.Reader(partition, storage.Earliest())
	if err != nil {
		c.s.t.Error(err)
		return
	}
	for {
		events, err := r.Read(ctx, 1000)
		if err != nil {
			return
		}
		for _, e := range events {
			c.take(ctx, &e.Message)
		}
	}
}

func (c *cloud) take(ctx context.Context, m *iot.Message) {
	sender := m.Sender()
	kind, _ := m.Properties.Get(leafwire.TypeProperty)
	if sender != itm || kind != leafwire.TypeEvent {
		c.mu.Lock()
		c.got[sender.String()] = append(c.got[sender.String()], string(m.Body))
		c.msgs[sender.String()] = append(c.msgs[sender.String()], *m)
		c.mu.Unlock()
		return
	}
	e, err := leafwire.ParseEvent(m.Body)
	if err != nil || e.EdgeDeviceID != sender.Device || e.EdgeModuleID != sender.Module || e.HubHostname != c.s.name {
		c.s.t.Errorf("event %s: %v", m.Body, err)
		return
	}
	c.mu.Lock()
	c.asked[e.LeafDeviceID]++
	mute := c.mute
	c.mu.Unlock()
	if !mute {
		c.work.Go(func() { c.answer(ctx, e) })
	}
}

// answer does what was asked for, and calls the module until it answers.
func (c *cloud) answer(ctx context.Context, e leafwire.Event) {
	code, text := c.do(e)
	c.call(ctx, leafwire.Callback{DeviceID: e.LeafDeviceID, ResultCode: code, Description: text, Operation: e.Operation})
}

func (c *cloud) call(ctx context.Context, answer leafwire.Callback) {
	for ctx.Err() == nil {
		r, err := c.s.hub.InvokeMethod(ctx, itm, iot.MethodCall{Name: leafwire.CallbackMethod, Payload: answer.Payload(), ConnectTimeout: time.Second})
		if err == nil && r.Status < 500 {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *cloud) do(e leafwire.Event) (code int, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := iot.DeviceIdentity(e.LeafDeviceID)
	switch {
	case c.code != 0:
		return c.code, "as told"
	case c.refuse[e.LeafDeviceID]:
		return 400, "the device is not on the allow list"
	case e.Operation == leafwire.Delete:
		err := c.s.devices.Delete(id, "*")
		return 200, fmt.Sprint(err)
	case e.Operation == leafwire.Disable:
		return c.enable(id, false), "disabled"
	}
	if _, there := c.s.devices.Get(id); there {
		return c.enable(id, true), "the device exists"
	}
	c.create(id)
	return 201, "the device was created"
}

// create makes a leaf's device, with keys derived from both of the module's.
func (c *cloud) create(id iot.Identity) {
	module, _ := c.s.devices.Get(itm)
	made := storage.Entry{}
	made.Identity, made.Enabled, made.ParentScopes = id, true, []string{c.s.scope}
	made.Auth.Type = iot.AuthSAS
	made.Auth.PrimaryKey, _ = sas.DeriveKey(module.Auth.PrimaryKey, id.Device)
	made.Auth.SecondaryKey, _ = sas.DeriveKey(module.Auth.SecondaryKey, id.Device)
	if _, err := c.s.devices.Create(made); err != nil {
		c.s.t.Error(err)
	}
	c.created[id.Device]++
}

func (c *cloud) enable(id iot.Identity, enabled bool) int {
	e, ok := c.s.devices.Get(id)
	if !ok {
		return 404
	}
	e.Enabled = enabled
	if _, err := c.s.devices.Update(e, "*"); err != nil {
		c.s.t.Error(err)
		return 500
	}
	return 200
}

// has waits until a sender's messages are exactly these.
func (c *cloud) has(sender string, want ...string) {
	c.s.t.Helper()
	await.Success(c.s.t, "the hub has "+sender+"'s messages", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if got := c.got[sender]; fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("it has %q, want %q", got, want)
		}
		return nil
	})
}

// set changes how the cloud behaves.
func (c *cloud) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

var errNotAsked = errors.New("the cloud was not asked")

// asked reports whether the cloud was asked for a leaf.
func (s *site) asked(leaf string) error {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	if s.cloud.asked[leaf] == 0 {
		return errNotAsked
	}
	return nil
}

// times is how often a leaf was asked for.
func (c *cloud) times(leaf string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[leaf]
}

func (c *cloud) createdTimes(leaf string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.created[leaf]
}

// ends reports whether a leaf's last message is this.
func (c *cloud) ends(leaf, body string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := c.got[leaf]; len(got) == 0 || got[len(got)-1] != body {
		return fmt.Errorf("the hub has %q", got)
	}
	return nil
}
