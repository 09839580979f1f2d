package rest

import (
	"slices"
	"strings"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

// admit decides whether the caller may use the route.
func (c *call) admit(rt *route) error {
	if !rt.unversioned {
		if err := code.CheckAPIVersion(c.r.URL.Query().Get("api-version")); err != nil {
			return err
		}
	}
	text := c.r.Header.Get("Authorization")
	if rt.callers != policies {
		token, err := sas.Parse(text)
		if err != nil || token.Policy == "" {
			return c.admitIdentity(rt, text)
		}
	}
	if rt.callers == ownEdgeHub {
		return refuse("only the $edgeHub module itself may ask for its scope")
	}
	return c.admitPolicy(rt.right, text)
}

func refuse(format string, args ...any) error {
	return code.Errorf(code.Unauthorized, "authorize", iot.Identity{}, format, args...)
}

// lacksRight marks the refusal of a caller who is known. It may be told more.
type lacksRight struct{ code.Code }

func (l lacksRight) Unwrap() error { return l.Code }

// admitPolicy checks a token of a shared access policy.
func (c *call) admitPolicy(right storage.Rights, text string) error {
	if text == "" {
		return refuse("there is no Authorization header")
	}
	token, err := sas.Parse(text)
	if err != nil {
		return refuse("%v", err)
	}
	policy, known := c.Registry.Policy(token.Policy)
	switch now := c.Now(); {
	case token.Policy == "":
		return refuse("the token is not one of a shared access policy: it has no skn")
	case !known:
		return refuse("there is no policy %q", token.Policy)
	case !c.servesHost(token.Resource.Host):
		return refuse("the token is for host %q, not for this one", token.Resource.Host)
	case token.Expired(now):
		return refuse("the token expired %s ago", now.Sub(token.Expiry))
	case !token.SignedBy(policy.Primary, policy.Secondary):
		return refuse("the token is not signed by a key of policy %s", policy.Name)
	case !c.covers(token.Resource):
		return refuse("the token is for %q, which is elsewhere", token.Resource)
	case !policy.Rights.Has(right):
		err := code.Errorf(code.Unauthorized, "authorize", iot.Identity{}, "policy %s does not have the right %s", policy.Name, rightNames(right&^policy.Rights))
		err.Err = lacksRight{code.Unauthorized}
		return err
	}
	return nil
}

// admitIdentity checks the proof of the edge device, or of its $edgeHub module,
// that the path names.
func (c *call) admitIdentity(rt *route, token string) error {
	id, err := c.identity()
	if err != nil {
		return err
	}
	if rt.callers == ownDevice {
		id = id.Owner()
	} else if id.Module != iot.EdgeHubModule {
		return refuse("module %s is not $edgeHub", id)
	}
	creds := iot.Credentials{Identity: id, Token: token}
	if token == "" && c.r.TLS != nil {
		creds.Certificates = c.r.TLS.PeerCertificates
	}
	result, err := c.Auth.Authenticate(creds)
	if err != nil {
		return err
	}
	if rt.callers == ownDevice && !result.Registration.Edge {
		return refuse("device %s is not an edge device", id)
	}
	return nil
}

// servesHost reports whether host is a name of this hub.
func (c *call) servesHost(host string) bool {
	return strings.EqualFold(host, c.HostName) ||
		slices.ContainsFunc(c.Auth.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// covers reports whether a token for resource is good for the path: it names the
// hub, or a path at or above this one.
func (c *call) covers(resource sas.Resource) bool {
	_, below, _ := strings.Cut(resource.String(), "/")
	if below = strings.Trim(below, "/"); below == "" {
		return true
	}
	want := strings.Split(below, "/")
	have := segmentsOf(c.r.URL.EscapedPath())
	if len(want) > len(have) {
		return false
	}
	for i := range want {
		if want[i] != unescaped(have[i]) {
			return false
		}
	}
	return true
}

// rightNames are the names of rights, as the portal has them.
func rightNames(r storage.Rights) string {
	var names []string
	for _, right := range []struct {
		bit  storage.Rights
		name string
	}{
		{storage.RegistryRead, "RegistryRead"},
		{storage.RegistryWrite, "RegistryWrite"},
		{storage.ServiceConnect, "ServiceConnect"},
		{storage.DeviceConnect, "DeviceConnect"},
	} {
		if r.Has(right.bit) {
			names = append(names, right.name)
		}
	}
	return strings.Join(names, ", ")
}
