package translator

import (
	"context"
	"encoding/json"
	"time"
)

// twinTime is how long one question about the twin may take.
const twinTime = 30 * time.Second

// configure gives the module's desired properties to Options.Configure, now and
// whenever they changed.
func (c *session) configure(stop <-chan struct{}) {
	changed := make(chan struct{}, 1)
	signal(changed)
	sub, err := c.s.DesiredChanges(func(json.RawMessage) { signal(changed) })
	if err != nil {
		c.end(err)
		return
	}
	defer sub.Close()
	for attempt := 0; ; {
		select {
		case <-changed:
		case <-stop:
			return
		}
		err := c.configureOnce()
		if err == nil {
			attempt = 0
			continue
		}
		wait := c.of.backoff(attempt)
		c.of.opt.Log.Warn("the module's twin cannot be had", "error", err, "again", wait)
		attempt++
		select {
		case <-time.After(wait):
			signal(changed)
		case <-stop:
			return
		}
	}
}

// configuration is what is reported of the module's configuration.
type configuration struct {
	Version int64   `json:"version"`
	Status  int     `json:"status"` // 200 or 400
	Error   *string `json:"error"`  // null removes an earlier one
}

func (c *session) configureOnce() error {
	ctx, cancel := context.WithTimeout(context.Background(), twinTime)
	defer cancel()
	twin, err := c.s.Twin(ctx)
	if err != nil {
		return err
	}
	said := configuration{Version: twin.DesiredVersion, Status: 200}
	if err := c.of.opt.Configure(twin.Desired); err != nil {
		text := err.Error()
		said.Status, said.Error = 400, &text
		c.of.opt.Log.Warn("the configuration of the module's twin is refused", "version", twin.DesiredVersion, "error", err)
	}
	patch, err := json.Marshal(map[string]configuration{"configuration": said})
	if err != nil {
		return err
	}
	_, err = c.s.PatchReported(ctx, patch)
	return err
}
