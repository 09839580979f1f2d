package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"sluice/internal/pki"
	"sluice/iot"
)

// Version is the newest version of the API, which modules are told to use.
const Version = "2022-08-03"

// versions are those that a caller may name, IoT Edge's own.
var versions = map[string]bool{
	"2018-06-28": true, "2019-01-30": true, "2019-10-22": true, "2019-11-05": true,
	"2020-07-07": true, "2021-05-11": true, "2021-12-07": true, "2022-08-03": true,
}

// Options configures an API. Device, Hub and Keys are required.
type Options struct {
	Device iot.Identity // the edge device
	Hub    string       // name of its hub
	// Keys finds the symmetric key and the generation id of a module of the
	// device; !ok if there is none. It may ask the hub.
	Keys func(ctx context.Context, module string) (key iot.Secret, generation string, ok bool)
	// Authority signs modules' certificates; nil if none can be made.
	Authority func() (*pki.Authority, error)
	// Trust is what modules must trust, in PEM; nil or empty if there is nothing
	// beyond what their system trusts.
	Trust func() ([]byte, error)
	// Vault encrypts for modules; without one they cannot.
	Vault *Vault
	Log   *slog.Logger
}

// An API answers modules. Its methods may be called from any goroutine.
type API struct {
	opt     Options
	issuing chan struct{} // has a place for the one who makes a certificate
}

// New makes an API, which serves nobody until [API.Listen].
func New(opt Options) (*API, error) {
	if err := opt.Device.Validate(); err != nil {
		return nil, fmt.Errorf("workload API: %w", err)
	}
	if opt.Hub == "" || opt.Keys == nil {
		return nil, errors.New("workload API: Hub and Keys are required")
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &API{opt: opt, issuing: make(chan struct{}, 1)}, nil
}
