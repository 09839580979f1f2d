package translate

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/spool"
	"sluice/iot"
)

// A Gateway is the module's way to its gateway: a moduleclient.Client.
type Gateway interface {
	// Identity is the module's.
	Identity() iot.Identity
	// HubName is the host name of the hub.
	HubName() string
	// Connect begins a session of the module.
	Connect(ctx context.Context, client iot.Client) (iot.Session, error)
	// ConnectLeaf begins a session of a leaf, with the key derived for it.
	ConnectLeaf(ctx context.Context, leaf string, client iot.Client) (iot.Session, error)
}

// Full is what happens to a leaf's message when there is no room for it.
type Full string

// The policies.
const (
	// Refuse does not acknowledge it: the gateway delivers it again. All that the
	// translator sends waits meanwhile.
	Refuse Full = "refuse"
	// DropOldest makes room by dropping the leaf's oldest.
	DropOldest Full = "drop-oldest"
)

// Options configure a module. Gateway, Kept and State are required.
type Options struct {
	Gateway Gateway
	// Kept holds leaves' messages. Its limits are set from MaxBytes and MaxLeafBytes.
	Kept *spool.Store
	// State holds what is known of leaves.
	State *pebble.DB

	// Translators are the modules that may speak for leaves; empty means any that
	// routes lead here.
	Translators []string
	// NoPass refuses messages without a leaf id, which are otherwise passed on to
	// the output as they are.
	NoPass bool

	MaxBytes     int64         // of kept messages; 0 means 1 GiB
	MaxLeafBytes int64         // of one leaf's; 0 means 16 MiB
	MaxLeaves    int           // known at a time; 0 means 50,000
	KeepFor      time.Duration // how long messages are kept; 0 means 7 days, negative for ever
	Full         Full          // "" means Refuse

	Patience      Patience      // its zero fields mean defaults
	RegisterRate  float64       // requests to the cloud a second; 0 means 50
	Workers       int           // leaves served at a time; 0 means 64
	Idle          time.Duration // after which a session that only sends is closed; 0 means 5 min
	MethodTimeout time.Duration // for translators' answers, where the hub says nothing; 0 means 30 s
	CommandLock   time.Duration // for translators' answers to commands; 0 means 60 s

	Log *slog.Logger // nil discards
}

func (o *Options) fill() error {
	if o.Gateway == nil || o.Kept == nil || o.State == nil {
		return errors.New("translate: gateway, kept messages or state is missing")
	}
	if o.Full == "" {
		o.Full = Refuse
	}
	if o.Full != Refuse && o.Full != DropOldest {
		return errors.New("translate: when full: it must be refuse or drop-oldest")
	}
	setDefault(&o.MaxBytes, 1<<30)
	setDefault(&o.MaxLeafBytes, 16<<20)
	setDefault(&o.MaxLeaves, 50_000)
	setDefault(&o.KeepFor, 7*24*time.Hour)
	setDefault(&o.RegisterRate, 50)
	setDefault(&o.Workers, 64)
	setDefault(&o.Idle, 5*time.Minute)
	setDefault(&o.MethodTimeout, 30*time.Second)
	setDefault(&o.CommandLock, time.Minute)
	p, d := &o.Patience, &defaultPatience
	setDefault(&p.AskAgain, d.AskAgain)
	setDefault(&p.AskLongest, d.AskLongest)
	setDefault(&p.Refusal, d.Refusal)
	setDefault(&p.Doubt, d.Doubt)
	setDefault(&p.Retry, d.Retry)
	setDefault(&p.RetryLongest, d.RetryLongest)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
