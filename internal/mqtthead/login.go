package mqtthead

import (
	"fmt"
	"strings"

	"sluice/internal/topic"
	"sluice/iot"
	"sluice/mqtt"
)

// A login is what a client says of itself in client id and user name.
type login struct {
	identity   iot.Identity
	apiVersion string
	product    string // DeviceClientType
	modelID    string
	authChain  string
}

// parseLogin reads the client id, which is the identity, and the user name, which
// repeats it:
//
//	{hub}/{client id}/?api-version=…[&DeviceClientType=…][&model-id=…][&auth-chain=…]
//
// Ids may contain what separates the properties, so the user name is read with
// the client id in hand. The name of the hub is not looked at: a token names it
// too, and there it is signed. The error is an [mqtt.ConnectError].
func parseLogin(c *mqtt.Connect) (login, error) {
	id, err := iot.ParseIdentity(c.ClientID)
	if err != nil {
		return login{}, refuse(mqtt.CodeIdentifierRejected, "client id is not {device} or {device}/{module}: %w", err)
	}
	hub, rest, ok := strings.Cut(c.Username, "/")
	if !ok || hub == "" {
		return login{}, refuse(mqtt.CodeBadCredentials, "user name %.300q does not begin with {hub}/{device}/", c.Username)
	}
	if rest == c.ClientID {
		return login{}, refuse(mqtt.CodeIdentifierRejected, "user name %.300q lacks /?api-version=2021-04-12 at its end", c.Username)
	}
	properties, ok := strings.CutPrefix(rest, c.ClientID+"/")
	if !ok {
		return login{}, refuse(mqtt.CodeIdentifierRejected, "client id %q and user name %.300q do not name the same identity", c.ClientID, c.Username)
	}
	l := login{identity: id}
	if len(c.Password) == 0 && (c.TLS == nil || len(c.TLS.PeerCertificates) == 0) {
		return login{}, refuse(mqtt.CodeNotAuthorized, "%v brings neither token nor certificate", id)
	}
	if err := l.parseProperties(properties); err != nil {
		return login{}, refuse(mqtt.CodeBadCredentials, "user name %.300q: %w", c.Username, err)
	}
	return l, nil
}

// parseProperties reads what stands after the identity. Unknown properties are
// ignored. Old SDKs left the question mark out, and some of those put slashes
// between the properties.
func (l *login) parseProperties(text string) error {
	text, modern := strings.CutPrefix(text, "?")
	separators := "&"
	if !modern {
		separators = "&/"
	}
	for pair := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q is not a property", pair)
		}
		field := l.field(key)
		if field == nil {
			continue
		}
		if *field != "" {
			return fmt.Errorf("%s is there twice", key)
		}
		*field = topic.Unescape(value)
	}
	if l.apiVersion == "" {
		return fmt.Errorf("api-version is missing")
	}
	return nil
}

func (l *login) field(key string) *string {
	switch key {
	case "api-version":
		return &l.apiVersion
	case "DeviceClientType":
		return &l.product
	case "model-id":
		return &l.modelID
	case "auth-chain":
		return &l.authChain
	}
	return nil
}

// credentials are what the client offers as proof: the password, or else the
// certificates of its TLS handshake.
func (l *login) credentials(c *mqtt.Connect) iot.Credentials {
	creds := iot.Credentials{Identity: l.identity, Token: string(c.Password), AuthChain: l.authChain}
	if creds.Token == "" && c.TLS != nil {
		creds.Certificates = c.TLS.PeerCertificates
	}
	return creds
}

func refuse(code mqtt.ConnectCode, format string, args ...any) error {
	return &mqtt.ConnectError{Code: code, Err: fmt.Errorf(format, args...)}
}

// connectCodes is what a client learns of why it was refused. Which of identity
// and proof was wrong is for the log alone.
var connectCodes = [...]mqtt.ConnectCode{
	iot.Internal:           mqtt.CodeServerUnavailable,
	iot.Invalid:            mqtt.CodeNotAuthorized,
	iot.Unauthorized:       mqtt.CodeNotAuthorized,
	iot.Forbidden:          mqtt.CodeNotAuthorized,
	iot.NotFound:           mqtt.CodeNotAuthorized,
	iot.Conflict:           mqtt.CodeNotAuthorized,
	iot.PreconditionFailed: mqtt.CodeNotAuthorized,
	iot.TooLarge:           mqtt.CodeNotAuthorized,
	iot.Throttled:          mqtt.CodeServerUnavailable,
	iot.Unavailable:        mqtt.CodeServerUnavailable,
	iot.Timeout:            mqtt.CodeServerUnavailable,
}

// refusal is err as the answer to a CONNECT.
func refusal(err error) error {
	return &mqtt.ConnectError{Code: connectCodes[iot.KindOf(err)], Err: err}
}
