package amqpservice

import (
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"time"

	"sluice/amqp10"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

// A grant is what a token allows: the links at its path and below, until it
// expires.
type grant struct {
	path    string // in lower case, without slashes around it; "" for everything
	expires time.Time
}

func (g grant) covers(path string, now time.Time) bool {
	return now.Before(g.expires) &&
		(g.path == "" || path == g.path || strings.HasPrefix(path, g.path+"/"))
}

// never is when the proof by a key expires.
var never = time.Unix(1<<40, 0)

func refused(format string, args ...any) error {
	return iot.Errorf(iot.Unauthorized, "authorize", iot.Identity{}, format, args...)
}

// policy finds the policy that somebody claims to know a key of. It must allow what
// applications do.
func (s *Service) policy(name string) (storage.Policy, error) {
	p, known := s.opt.Policy(name)
	switch {
	case !known:
		return p, refused("there is no policy %.100q", name)
	case !p.Rights.Has(storage.ServiceConnect):
		return p, refused("policy %s does not have the right ServiceConnect", p.Name)
	}
	return p, nil
}

// judge decides about a token.
func (s *Service) judge(t sas.Token) (grant, error) {
	p, err := s.policy(t.Policy)
	if err != nil {
		return grant{}, err
	}
	host, path := splitResource(t.Resource)
	switch now := s.opt.Now(); {
	case !s.serves(host):
		return grant{}, refused("the token is for host %.100q, not for this one", host)
	case t.Expired(now):
		return grant{}, refused("the token expired %v ago", now.Sub(t.Expiry))
	case !t.SignedBy(p.Primary, p.Secondary, asText(p.Primary), asText(p.Secondary)):
		return grant{}, refused("the token is not signed by a key of policy %s", p.Name)
	}
	return grant{path: normalize(path), expires: t.Expiry}, nil
}

// asText is the key of which the bytes are the text of key: Event Hubs signs with
// those.
func asText(key iot.Secret) iot.Secret {
	return iot.Secret(base64.StdEncoding.EncodeToString([]byte(key.Reveal())))
}

// splitResource separates the path of what a token is for. Event Hubs' tokens have a
// scheme before the host.
func splitResource(r sas.Resource) (host, path string) {
	text := r.String()
	if scheme, rest, ok := strings.Cut(text, "://"); ok && !strings.Contains(scheme, "/") {
		text = rest
	}
	host, path, _ = strings.Cut(text, "/")
	return host, path
}

// judgeLogin decides about SASL PLAIN. Users are
//
//	{policy}@sas.root.{hub}  with a token, as IoT Hub has it, or
//	{policy}                 with its key, as Event Hubs has it
func (s *Service) judgeLogin(k amqp10.Credentials) (grant, error) {
	name, _, hub := strings.Cut(k.User, "@sas.root.")
	if !hub {
		return s.judgeKey(name, k.Password)
	}
	t, err := sas.Parse(k.Password)
	if err != nil {
		return grant{}, err
	}
	if t.Policy != name {
		return grant{}, refused("user %.100q brings a token of policy %.100q", k.User, t.Policy)
	}
	return s.judge(t)
}

func (s *Service) judgeKey(name, key string) (grant, error) {
	p, err := s.policy(name)
	if err != nil {
		return grant{}, err
	}
	match := 0
	for _, known := range []iot.Secret{p.Primary, p.Secondary} {
		if known != "" {
			match |= subtle.ConstantTimeCompare([]byte(known.Reveal()), []byte(key))
		}
	}
	if match != 1 {
		return grant{}, refused("that is not a key of policy %s", p.Name)
	}
	return grant{expires: never}, nil
}
