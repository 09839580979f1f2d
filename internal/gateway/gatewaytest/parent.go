package gatewaytest

import (
	"context"
	"sync"

	"sluice/internal/iottest"
	"sluice/iot"
)

// A Parent is a hub that tells a gateway whom it may serve and what their twins are, and
// that goes away for good when it is told to. It refuses all messages, and whoever asks
// it for methods or for changes of a twin.
type Parent struct {
	*iottest.Hub
	scope []iot.Registration

	mu   sync.Mutex
	away bool
}

var _ iot.Parent = (*Parent)(nil)

// NewParent returns a hub for a gateway in that scope, the gateway's own registration
// among it.
func NewParent(scope ...iot.Registration) *Parent {
	h := iottest.NewHub()
	h.Refusal = iot.Errorf(iot.Invalid, "test", iot.Identity{}, "no")
	h.NotGiven["methods"], h.NotGiven["desired"] = errAway, errAway
	return &Parent{Hub: h, scope: scope}
}

var errAway = iot.Errorf(iot.Unavailable, "test", iot.Identity{}, "the hub is away")

// Leave ends all sessions, and answers nobody from now on.
func (p *Parent) Leave() {
	p.mu.Lock()
	p.away = true
	p.mu.Unlock()
	for _, s := range p.Sessions() {
		p.End(s.Identity(), errAway)
	}
}

func (p *Parent) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return errAway
	}
	return nil
}

// Connect implements [iot.Hub].
func (p *Parent) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return nil, errAway
	}
	return p.Hub.Connect(ctx, creds, client)
}

// InScope implements [iot.Scopes].
func (p *Parent) InScope(context.Context, iot.Credentials, string) (iot.ScopePage, error) {
	return iot.ScopePage{Identities: p.scope}, p.err()
}

// Lookup implements [iot.Scopes]. It knows whom InScope names.
func (p *Parent) Lookup(_ context.Context, _ iot.Credentials, id iot.Identity) ([]iot.Registration, error) {
	for _, r := range p.scope {
		if r.Identity == id {
			return []iot.Registration{r}, p.err()
		}
	}
	return nil, iot.Errorf(iot.NotFound, "test", id, "unknown")
}
