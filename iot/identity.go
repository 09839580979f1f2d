package iot

import (
	"errors"
	"fmt"
	"strings"
)

// MaxIDLength is the longest device or module id, in bytes.
const MaxIDLength = 128

// Names of the two modules that every edge device has.
const (
	EdgeAgentModule = "$edgeAgent"
	EdgeHubModule   = "$edgeHub"
)

// Identity names a device, or a module on a device. It is comparable, so it can
// key a map. The zero value names nothing.
type Identity struct {
	Device string // device id, case-sensitive
	Module string // module id, or "" for the device itself
}

// DeviceIdentity names the device with the given id.
func DeviceIdentity(device string) Identity { return Identity{Device: device} }

// ModuleIdentity names a module on a device.
func ModuleIdentity(device, module string) Identity {
	return Identity{Device: device, Module: module}
}

// IsZero reports whether id names nothing.
func (id Identity) IsZero() bool { return id.Device == "" }

// IsModule reports whether id names a module rather than a device.
func (id Identity) IsModule() bool { return id.Module != "" }

// Owner is the device that id is or belongs to.
func (id Identity) Owner() Identity { return Identity{Device: id.Device} }

// String is the form of logs and of IoT Edge: "device" or "device/module". No
// id contains a slash, so the form is unambiguous; see [ParseIdentity].
func (id Identity) String() string {
	if id.Module == "" {
		return id.Device
	}
	return id.Device + "/" + id.Module
}

// MarshalText returns the form of [Identity.String], so that an identity can be
// a value or a key in JSON.
func (id Identity) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is [ParseIdentity], and reads the empty text as the identity
// that names nothing, which is how that one is written.
func (id *Identity) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = Identity{}
		return nil
	}
	parsed, err := ParseIdentity(string(b))
	if err == nil {
		*id = parsed
	}
	return err
}

// Validate reports the first thing wrong with the ids of id.
func (id Identity) Validate() error {
	if err := ValidateID(id.Device); err != nil {
		return fmt.Errorf("device id %q: %w", id.Device, err)
	}
	if id.Module == "" {
		return nil
	}
	if err := ValidateID(id.Module); err != nil {
		return fmt.Errorf("module id %q: %w", id.Module, err)
	}
	return nil
}

// ParseIdentity reads the form of [Identity.String]. The ids are validated.
func ParseIdentity(s string) (Identity, error) {
	device, module, isModule := strings.Cut(s, "/")
	id := Identity{Device: device, Module: module}
	if isModule && module == "" {
		return Identity{}, fmt.Errorf("identity %q: module id is empty", s)
	}
	if err := id.Validate(); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// Why an id is refused; see [ValidateID].
var (
	ErrIDEmpty = errors.New("is empty")
	ErrIDLong  = fmt.Errorf("is longer than %d characters", MaxIDLength)
)

// ValidateID checks a device or module id: 1 to 128 ASCII letters, digits and
// the marks - . + % _ # * ? ! ( ) , : = @ $ ' and nothing else, as IoT Hub's
// registry does. Slashes, spaces and control characters are therefore
// impossible in an id, whichever protocol brought it.
func ValidateID(id string) error {
	switch {
	case id == "":
		return ErrIDEmpty
	case len(id) > MaxIDLength:
		return ErrIDLong
	}
	for i := 0; i < len(id); i++ {
		if !idByte[id[i]] {
			return fmt.Errorf("contains %q; allowed are ASCII letters, digits and -.+%%_#*?!(),:=@$'", id[i])
		}
	}
	return nil
}

var idByte = func() (ok [256]bool) {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.+%_#*?!(),:=@$'"
	for i := 0; i < len(allowed); i++ {
		ok[allowed[i]] = true
	}
	return ok
}()
