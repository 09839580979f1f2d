package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sluice/internal/route"
	"sluice/internal/twin"
	"sluice/iot"
)

// desiredConfig is what a deployment says to a gateway: the desired properties of
// its $edgeHub module.
type desiredConfig struct {
	SchemaVersion   string          `json:"schemaVersion"`
	Routes          json.RawMessage `json:"routes"`
	StoreAndForward *struct {
		TimeToLive *int64 `json:"timeToLiveSecs"`
		Limits     *struct {
			MaxBytes *int64 `json:"maxSizeBytes"`
		} `json:"storeLimits"`
	} `json:"storeAndForwardConfiguration"`
}

// errNoConfig says that there is no deployment: what was in force stays.
var errNoConfig = errors.New("no deployment")

// parseConfig makes routes of desired properties.
func (g *Gateway) parseConfig(desired json.RawMessage) (*routing, error) {
	var c desiredConfig
	if err := json.Unmarshal(desired, &c); err != nil {
		return nil, err
	}
	if c.Routes == nil {
		return nil, errNoConfig
	}
	rules, err := route.ParseRules(c.Routes)
	if err != nil {
		return nil, err
	}
	table, err := route.NewTable(rules...)
	if err != nil {
		return nil, err
	}
	r := newRouting(table, g.opt.TTL)
	if err := c.limit(r); err != nil {
		return nil, err
	}
	if s := c.StoreAndForward; s != nil && s.TimeToLive != nil {
		r.ttl = time.Duration(*s.TimeToLive) * time.Second
		if *s.TimeToLive < 0 || *s.TimeToLive > int64(time.Duration(1<<63-1)/time.Second) {
			r.ttl = -1
		}
	}
	return r, nil
}

// limit reads how large the spool may become.
func (c *desiredConfig) limit(r *routing) error {
	if c.StoreAndForward == nil || c.StoreAndForward.Limits == nil || c.StoreAndForward.Limits.MaxBytes == nil {
		return nil
	}
	if r.maxBytes = *c.StoreAndForward.Limits.MaxBytes; r.maxBytes <= 0 {
		return fmt.Errorf("storeAndForwardConfiguration.storeLimits.maxSizeBytes is %d; it must be above 0, or left out for no limit", r.maxBytes)
	}
	return nil
}

// loadConfig puts in force what the hub said last, so that a gateway that starts
// without a hub routes as before.
func (g *Gateway) loadConfig() {
	st, err := g.twins.Get(g.own.id)
	if err != nil || !st.Known {
		return
	}
	r, err := g.parseConfig(st.Desired.JSON())
	switch {
	case errors.Is(err, errNoConfig):
	case err != nil:
		g.log.Error("the routes of the last deployment are wrong; everything goes to the hub", "err", err)
	default:
		g.setRouting(r)
	}
}

// followConfig applies the deployment, and each change of it, until ctx ends, and
// tells the hub what became of it. A change that is wrong is refused whole: the
// routes before it stay.
func (g *Gateway) followConfig(ctx context.Context, hub iot.Session) {
	changes := make(chan struct{}, 1)
	sub, err := hub.DesiredChanges(func(json.RawMessage) {
		select {
		case changes <- struct{}{}:
		default: // the whole is asked for anyway
		}
	})
	if err != nil {
		g.log.Warn("deployments are not followed", "err", err)
		return
	}
	defer sub.Close()
	g.clients.reset(g.sessions)
	report := time.NewTicker(clientsEvery)
	defer report.Stop()
	for version := int64(-1); ctx.Err() == nil; {
		applied, err := g.fetchConfig(ctx, hub, version)
		if err != nil && ctx.Err() == nil {
			g.log.Warn("the deployment could not be asked for", "err", err)
		} else {
			version = applied
		}
		g.waitForConfig(ctx, hub, changes, report.C)
	}
}

// waitForConfig reports clients until the deployment changes.
func (g *Gateway) waitForConfig(ctx context.Context, hub iot.Session, changes <-chan struct{}, report <-chan time.Time) {
	for {
		select {
		case <-changes:
			return
		case <-ctx.Done():
			return
		case <-report:
			if patch := g.clients.take(); patch != nil {
				if _, err := hub.PatchReported(ctx, patch); err != nil {
					g.clients.giveBack(patch)
					g.log.Debug("clients are not reported", "err", err)
				}
			}
		}
	}
}

// fetchConfig asks for the deployment, applies it if it is another than version,
// and returns its version.
func (g *Gateway) fetchConfig(ctx context.Context, hub iot.Session, version int64) (int64, error) {
	t, err := hub.Twin(ctx)
	if err != nil {
		return version, err
	}
	if t.DesiredVersion == version {
		return version, nil
	}
	r, err := g.parseConfig(t.Desired)
	switch {
	case errors.Is(err, errNoConfig):
		return t.DesiredVersion, nil
	case err != nil:
		g.log.Error("the deployment is wrong; what was in force stays", "version", t.DesiredVersion, "err", err)
	default:
		// First kept, then in force: a crash after it goes on with what was.
		if err := g.keepConfig(t); err != nil {
			g.log.Warn("the deployment is not remembered", "err", err)
		}
		g.setRouting(r)
		g.log.Info("deployment applied", "version", t.DesiredVersion, "routes", len(r.table.Rules()))
	}
	_, err = hub.PatchReported(ctx, configStatus(t.DesiredVersion, err))
	return t.DesiredVersion, err
}

// keepConfig remembers a deployment that is right.
func (g *Gateway) keepConfig(t iot.Twin) error {
	defer g.twins.Lock(g.own.id)()
	_, err := g.rememberTwin(g.own.id, t)
	return err
}

// configStatus is what edgeHub reports of a deployment.
func configStatus(version int64, err error) json.RawMessage {
	code, description := 200, ""
	if err != nil {
		code, description = 400, "Error while parsing desired properties - "+err.Error()
	}
	if len(description) > twin.MaxStringLength {
		description = description[:twin.MaxStringLength]
	}
	report, err := json.Marshal(map[string]any{
		"schemaVersion":      "1.0",
		"lastDesiredVersion": version,
		"lastDesiredStatus":  map[string]any{"code": code, "description": description},
	})
	if err != nil {
		panic(fmt.Sprintf("numbers and text have a form: %v", err))
	}
	return report
}
