package gateway

import (
	"net"
	"strings"

	"sluice/iot"
)

// Vouched reports whether a login comes from a gateway below this one, whose own
// session is open from the same address, on behalf of another identity. That such a
// login fails is the identity's state and not the gateway's fault: it cannot know
// yet who was removed.
func (g *Gateway) Vouched(creds iot.Credentials, remote string) bool {
	i := strings.LastIndexByte(creds.AuthChain, ';')
	if i < 0 {
		return false
	}
	s, ok := g.sessions.Get(iot.ModuleIdentity(creds.AuthChain[i+1:], iot.EdgeHubModule))
	if !ok {
		return false
	}
	host, _, err := net.SplitHostPort(remote)
	from, _, err2 := net.SplitHostPort(s.Client().RemoteAddr)
	return err == nil && err2 == nil && host == from
}
