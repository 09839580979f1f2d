package registry

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"sluice/internal/auth"
	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

// scopePrefix begins the scope of every edge device.
const scopePrefix = "ms-azure-iot-edge://"

// Of a key that a user brings, in bytes.
const minKey, maxKey = 16, 64

// generation returns a number that no earlier identity had: the time in ticks of
// 100 ns since the year 1, as IoT Hub's are.
func (s *Store) generation() string {
	const unixEpoch = 621_355_968_000_000_000
	return strconv.FormatInt(unixEpoch+s.opt.Now().UnixNano()/100, 10)
}

// etag returns an entity tag that was not used before: base64 of a number, as
// IoT Hub's are. The caller holds changing.
func (s *Store) etag() string {
	s.etags = max(s.etags+1, uint64(s.opt.Now().UnixNano())/1000)
	return base64.StdEncoding.EncodeToString(strconv.AppendUint(nil, s.etags, 10))
}

// etagNumber is the number in an entity tag, or 0.
func etagNumber(tag string) uint64 {
	raw, err := base64.StdEncoding.DecodeString(tag)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// place puts a device below its parent. For a device that is no edge device, the
// scope is its parent's; for an edge device it is its own.
func (t *transaction) place(e *storage.Entry) error {
	id := e.Identity
	if len(e.StatusReason) > maxStatusReason {
		return code.Errorf(code.ArgumentInvalid, "place", id, "statusReason is longer than %d characters", maxStatusReason)
	}
	if len(e.ParentScopes) > 1 {
		return code.Errorf(code.ArgumentInvalid, "place", id, "a device has at most one parent, not %d", len(e.ParentScopes))
	}
	if e.Edge {
		if !strings.HasPrefix(e.Scope, scopePrefix) || t.ownerOf(e.Scope) != nil && t.ownerOf(e.Scope).Identity != id {
			e.Scope = scopePrefix + id.Device + "-" + t.s.generation()
		}
	} else if e.Scope == "" && len(e.ParentScopes) == 1 {
		e.Scope = e.ParentScopes[0]
	}
	if !e.Edge {
		e.ParentScopes = nil
		if e.Scope != "" {
			e.ParentScopes = []string{e.Scope}
		}
	}
	return t.checkParents(e)
}

// checkParents follows the parents up: each must be there, and e not among them.
func (t *transaction) checkParents(e *storage.Entry) error {
	at := e
	for depth := 0; at.Parent() != ""; depth++ {
		parent := t.ownerOf(at.Parent())
		switch {
		case parent == nil:
			return code.Errorf(code.ArgumentInvalid, "place", e.Identity, "no edge device has the scope %q", at.Parent())
		case parent.Identity == e.Identity:
			return code.Errorf(code.ArgumentInvalid, "place", e.Identity, "it would stand above itself, through %s", at.Identity)
		case depth >= auth.MaxDepth:
			return code.Errorf(code.ArgumentInvalid, "place", e.Identity, "more than %d edge devices would stand above it", auth.MaxDepth)
		}
		at = parent
	}
	return nil
}

// ownerOf returns the edge device with this scope, or nil.
func (t *transaction) ownerOf(scope string) *storage.Entry {
	for _, e := range t.pending {
		if e != nil && e.Edge && scopeKey(e.Scope) == scopeKey(scope) {
			return e
		}
	}
	t.s.mu.RLock()
	id, ok := t.s.edges[scopeKey(scope)]
	t.s.mu.RUnlock()
	if !ok {
		return nil
	}
	if e := t.get(id); e != nil && e.Edge {
		return e
	}
	return nil
}

// fillAuth checks the proof that e asks for and completes it, from what old has
// or with new keys.
func fillAuth(e, old *storage.Entry) error {
	a := &e.Auth
	if a.Type == "" {
		a.Type = guessType(a)
	}
	switch a.Type {
	case iot.AuthSAS:
		a.PrimaryThumbprint, a.SecondaryThumbprint = "", ""
		return fillKeys(e, old)
	case iot.AuthSelfSigned:
		a.PrimaryKey, a.SecondaryKey = "", ""
		return checkThumbprints(e)
	case iot.AuthCA, iot.AuthNone:
		*a = iot.Authentication{Type: a.Type}
		return nil
	}
	return code.Errorf(code.ArgumentInvalid, "authenticate", e.Identity, "authentication type %q: it is sas, selfSigned, certificateAuthority or none", a.Type)
}

func guessType(a *iot.Authentication) iot.AuthType {
	if a.PrimaryThumbprint != "" || a.SecondaryThumbprint != "" {
		return iot.AuthSelfSigned
	}
	return iot.AuthSAS
}

func fillKeys(e, old *storage.Entry) error {
	a := &e.Auth
	if a.PrimaryKey == "" && a.SecondaryKey == "" && old != nil && old.Auth.Type == iot.AuthSAS {
		a.PrimaryKey, a.SecondaryKey = old.Auth.PrimaryKey, old.Auth.SecondaryKey
	}
	for name, key := range map[string]*iot.Secret{"primaryKey": &a.PrimaryKey, "secondaryKey": &a.SecondaryKey} {
		if *key == "" {
			*key = sas.NewKey()
			continue
		}
		if err := checkKey(*key); err != nil {
			return code.Errorf(code.ArgumentInvalid, "authenticate", e.Identity, "%s %v", name, err)
		}
	}
	return nil
}

func checkKey(key iot.Secret) error {
	raw, err := sas.DecodeKey(key)
	switch {
	case err != nil:
		return fmt.Errorf("is not base64 text")
	case len(raw) < minKey || len(raw) > maxKey:
		return fmt.Errorf("has %d bytes; it must have %d to %d", len(raw), minKey, maxKey)
	}
	return nil
}

func checkThumbprints(e *storage.Entry) error {
	a := &e.Auth
	if a.PrimaryThumbprint == "" && a.SecondaryThumbprint == "" {
		return code.Errorf(code.ArgumentInvalid, "authenticate", e.Identity, "selfSigned needs a thumbprint")
	}
	for _, p := range []*string{&a.PrimaryThumbprint, &a.SecondaryThumbprint} {
		clean := strings.ToUpper(strings.NewReplacer(":", "", " ", "").Replace(*p))
		if raw, err := hex.DecodeString(clean); err != nil || len(raw) != 0 && len(raw) != 20 && len(raw) != 32 {
			return code.Errorf(code.ArgumentInvalid, "authenticate", e.Identity, "thumbprint %q: it must be 40 (SHA-1) or 64 (SHA-256) hex digits", *p)
		}
		*p = clean
	}
	return nil
}
