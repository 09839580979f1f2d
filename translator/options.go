package translator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"sluice/iot"
)

// Options are how a translator is made. All may be left out.
type Options struct {
	// Output is the output of the module on which messages leave, as routes name
	// it: "ptm_output".
	Output string

	// Window is how many messages may wait for the gateway's acknowledgement
	// before Send and Post block: 256. WindowBytes is the same for the sum of
	// their sizes: 1 MiB. A larger message waits until it is the only one.
	Window      int
	WindowBytes int

	// Method is called with each direct method for a leaf. Without it methods are
	// answered with status 501.
	Method func(*Call)
	// Command is called with each cloud-to-device message for a leaf. Without it
	// commands are rejected.
	Command func(*Command)
	// Desired is called with desired properties of a leaf.
	Desired func(Leaf, Desired)
	// State is called when the identity of a leaf changes: when it is registered
	// or refused, disabled or deleted.
	State func(Leaf, State)

	// Connected is called after each new connection, before anything comes down.
	// It is where a translator says again what its leaves can do.
	Connected func()

	// Configure is called with the desired properties of the module's own twin,
	// whole, after connecting and whenever they changed. Its error is reported in
	// that twin as "configuration", with the version; nil is reported as well.
	Configure func(desired json.RawMessage) error

	// ModuleID is the module's id, which goes with each message: the environment's
	// IOTEDGE_MODULEID.
	// DeviceID is the edge device's, which no leaf may have: IOTEDGE_DEVICEID.
	ModuleID, DeviceID string

	// Connect makes a session at the gateway as the module; nil connects as the
	// environment says. Tests and programs that are no module set it, and ModuleID.
	Connect func(context.Context, iot.Client) (iot.Session, error)

	// Log is told of connections gained and lost, and of what had to be refused;
	// nil for nothing.
	Log *slog.Logger
}

// Defaults of [Options].
const (
	DefaultOutput      = "ptm_output"
	DefaultWindow      = 256
	DefaultWindowBytes = 1 << 20
)

func (o *Options) complete() error {
	o.Output = cmp.Or(o.Output, DefaultOutput)
	o.Window = cmp.Or(o.Window, DefaultWindow)
	o.WindowBytes = cmp.Or(o.WindowBytes, DefaultWindowBytes)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Window < 0 || o.WindowBytes < 0 {
		return errors.New("translator: Window and WindowBytes cannot be negative")
	}
	if o.Connect == nil {
		return o.fromEnvironment()
	}
	if o.ModuleID == "" {
		return errors.New("translator: ModuleID is missing")
	}
	return nil
}
