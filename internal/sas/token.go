// Package sas makes and checks what IoT Hub calls shared access: signed tokens,
// the keys behind them, and connection strings.
//
// A token is the text
//
//	SharedAccessSignature sr={resource}&sig={signature}&se={expiry}[&skn={policy}]
//
// with its fields in any order. The signature is the HMAC-SHA256, with the
// base64-decoded key, of the resource as it stands in the token (url-encoded),
// a newline, and the expiry. [Sign] makes one, [Parse] reads one without
// believing it, and [Token.SignedBy] believes it.
package sas

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sluice/iot"
)

const prefix = "SharedAccessSignature "

// MaxTokenLength bounds what [Parse] looks at. The longest honest token, of a
// module with two ids of 128 escaped characters, stays under 1,200 bytes.
const MaxTokenLength = 4096

// ErrMalformed wraps every error of [Parse].
var ErrMalformed = errors.New("malformed token")

// Token is a parsed token. Nothing in it is proved until SignedBy says so.
type Token struct {
	Resource Resource
	Policy   string    // skn: a shared access policy of the service, or ""
	Expiry   time.Time // se

	signed    string // what the signature covers
	signature [sha256.Size]byte
}

// Resource is the audience of a token: a hub, and an identity at it. A token of
// a service policy names the hub alone.
type Resource struct {
	Host     string // lower case
	Identity iot.Identity
	Rest     string // any other path below the host, without its leading slash
}

// String is the resource before url-encoding.
func (r Resource) String() string {
	s := r.Host
	switch {
	case r.Identity.IsModule():
		s += "/devices/" + r.Identity.Device + "/modules/" + r.Identity.Module
	case !r.Identity.IsZero():
		s += "/devices/" + r.Identity.Device
	case r.Rest != "":
		s += "/" + r.Rest
	}
	return s
}

// Sign makes a token for resource that is valid until expiry, rounded down to
// the second, signed with key (base64 text). Policy is "" for devices and
// modules.
func Sign(key iot.Secret, resource Resource, policy string, expiry time.Time) (string, error) {
	raw, err := DecodeKey(key)
	if err != nil {
		return "", err
	}
	return SignWith(func(data []byte) ([]byte, error) { return digest(raw, data), nil }, resource, policy, expiry)
}

// SignWith is [Sign] for a key that does not leave its keeper, such as the
// workload API: sign returns the HMAC-SHA256 of data.
func SignWith(sign func(data []byte) ([]byte, error), resource Resource, policy string, expiry time.Time) (string, error) {
	sr := escape(resource.String())
	se := strconv.FormatInt(expiry.Unix(), 10)
	mac, err := sign([]byte(sr + "\n" + se))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	token := prefix + "sr=" + sr + "&sig=" + url.QueryEscape(base64.StdEncoding.EncodeToString(mac)) + "&se=" + se
	if policy != "" {
		token += "&skn=" + escape(policy)
	}
	return token, nil
}

// escape is JavaScript's encodeURIComponent, which the SDKs sign: a space is
// %20, not +.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// Parse reads a token. Missing, repeated and unknown fields are errors, and so
// is an expiry that is anything but plain decimal seconds: what two parsers
// could read differently is not worth accepting. Expiry and signature are not
// judged here.
func Parse(text string) (Token, error) {
	t, err := parse(text)
	if err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return t, nil
}

func parse(text string) (t Token, err error) {
	if len(text) > MaxTokenLength {
		return t, fmt.Errorf("longer than %d bytes", MaxTokenLength)
	}
	body, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return t, fmt.Errorf("does not begin with %q", strings.TrimSpace(prefix))
	}
	fields, err := splitFields(body)
	if err != nil {
		return t, err
	}
	if t.Resource, err = ParseResource(fields["sr"]); err != nil {
		return t, err
	}
	if t.Expiry, err = parseExpiry(fields["se"]); err != nil {
		return t, err
	}
	if t.Policy, err = url.PathUnescape(fields["skn"]); err != nil {
		return t, errors.New("skn is not url-encoded")
	}
	// Not QueryUnescape: some devices leave the plus signs of base64 as they are.
	sig, err := url.PathUnescape(fields["sig"])
	if err != nil {
		return t, errors.New("sig is not url-encoded")
	}
	mac, err := base64.StdEncoding.Strict().DecodeString(sig)
	if err != nil || len(mac) != sha256.Size {
		return t, errors.New("sig is not the base64 of 32 bytes")
	}
	copy(t.signature[:], mac)
	t.signed = fields["sr"] + "\n" + fields["se"]
	return t, nil
}

func splitFields(body string) (map[string]string, error) {
	fields := make(map[string]string, 4)
	for part := range strings.SplitSeq(body, "&") {
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, errors.New("a field has no value")
		}
		switch key {
		case "sr", "sig", "se", "skn":
		default:
			return nil, fmt.Errorf("unknown field %q", clip(key))
		}
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("field %q occurs twice", key)
		}
		fields[key] = value
	}
	for _, key := range [...]string{"sr", "sig", "se"} {
		if fields[key] == "" {
			return nil, fmt.Errorf("field %q is missing", key)
		}
	}
	return fields, nil
}

// clip keeps a stranger's text short in an error.
func clip(s string) string {
	if len(s) > 16 {
		return s[:16] + "…"
	}
	return s
}

// latestExpiry is the end of the year 9999, the last that dates are written in.
const latestExpiry = 253402300799

func parseExpiry(s string) (time.Time, error) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return time.Time{}, errors.New("se is not plain decimal seconds")
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > latestExpiry {
		return time.Time{}, errors.New("se is out of range")
	}
	return time.Unix(n, 0), nil
}

// ParseResource reads the url-encoded resource of a token. It is decoded once,
// and the ids in it are decoded no further: a doubly encoded id is another id.
func ParseResource(encoded string) (Resource, error) {
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return Resource{}, errors.New("sr is not url-encoded")
	}
	host, rest, _ := strings.Cut(text, "/")
	if !validHost(host) {
		return Resource{}, errors.New("sr names no host")
	}
	r := Resource{Host: strings.ToLower(host)}
	parts := strings.Split(rest, "/")
	switch {
	case len(parts) == 2 && parts[0] == "devices":
		r.Identity = iot.DeviceIdentity(parts[1])
	case len(parts) == 4 && parts[0] == "devices" && parts[2] == "modules" && parts[3] != "":
		r.Identity = iot.ModuleIdentity(parts[1], parts[3])
	default:
		r.Rest = rest
		return r, nil
	}
	if err := r.Identity.Validate(); err != nil {
		return Resource{}, fmt.Errorf("sr: %w", err)
	}
	return r, nil
}

// validHost keeps out what letter case or Unicode could make look like another
// host. Ports and literal addresses are hosts here.
func validHost(host string) bool {
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("-._:[]", c) >= 0:
		default:
			return false
		}
	}
	return host != ""
}

// Expired reports whether the token is no longer valid at now. A token that
// expires within the current second has expired.
func (t Token) Expired(now time.Time) bool { return !now.Before(t.Expiry) }

// SignedBy reports whether one of the keys signed the token. Keys that are
// empty or not base64 sign nothing. The comparison takes the same time
// wherever the first difference is.
func (t Token) SignedBy(keys ...iot.Secret) bool {
	match := 0
	for _, key := range keys {
		raw, err := DecodeKey(key)
		if err != nil {
			continue
		}
		match |= subtle.ConstantTimeCompare(digest(raw, []byte(t.signed)), t.signature[:])
	}
	return match == 1
}

// Shared reports whether two tokens are the same token.
func (t Token) Shared(other Token) bool { return t.signature == other.signature }

func digest(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}
