package gateway

import (
	"strings"
	"sync"
	"time"

	"sluice/internal/sas"
	"sluice/iot"
)

// The gateway's own tokens live for an hour and are replaced when less than ten
// minutes are left, as edgeHub's are.
const (
	tokenLife  = time.Hour
	tokenSpare = 10 * time.Minute
)

// ownIdentity is the $edgeHub module that the gateway is to its hub.
type ownIdentity struct {
	id   iot.Identity
	host string
	key  iot.Secret
	now  func() time.Time

	mu      sync.Mutex
	token   string
	expires time.Time
}

func newOwnIdentity(opt Options) *ownIdentity {
	return &ownIdentity{
		id:   iot.ModuleIdentity(opt.Device, iot.EdgeHubModule),
		host: opt.HubHost, key: opt.Key, now: opt.Now,
	}
}

// credentials prove to the hub that the caller is the gateway itself or, with a
// path of edge devices from one up to that below the gateway's, that it may ask on
// behalf of the first.
func (o *ownIdentity) credentials(path ...string) (iot.Credentials, error) {
	token, _, err := o.sign()
	creds := iot.Credentials{Identity: o.id, Token: token}
	if len(path) > 0 {
		creds.Identity = iot.ModuleIdentity(path[0], iot.EdgeHubModule)
		creds.AuthChain = authChain(creds.Identity, append(path[:len(path):len(path)], o.id.Device))
	}
	return creds, err
}

// behalf are credentials to act for an identity in scope, and until when. above
// are the edge devices from the nearest to the gateway's own.
func (o *ownIdentity) behalf(id iot.Identity, above []string) (iot.Credentials, time.Time, error) {
	token, expires, err := o.sign()
	creds := iot.Credentials{Identity: id, Token: token}
	if id != o.id {
		creds.AuthChain = authChain(id, above)
	}
	return creds, expires, err
}

// authChain writes who stands above whom, from a target up to the gateway.
func authChain(id iot.Identity, above []string) string {
	return strings.Join(append([]string{id.String()}, above...), ";")
}

func (o *ownIdentity) sign() (token string, expires time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	// A token with more than its life left was signed before the clock was set
	// back, and is not to be kept for years.
	left := o.expires.Sub(o.now())
	if o.token != "" && left > tokenSpare && left <= tokenLife {
		return o.token, o.expires, nil
	}
	expires = o.now().Add(tokenLife)
	token, err = sas.Sign(o.key, sas.Resource{Host: o.host, Identity: o.id}, "", expires)
	if err == nil {
		o.token, o.expires = token, expires
	}
	return token, expires, err
}
