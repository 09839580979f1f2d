package cli

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/spool"
	"sluice/internal/translate"
)

const identityLong = `Run the identity translation module: devices that know nothing of IoT Hub, leaves,
appear there as devices of their own.

Protocol translators send it what leaves say, on its input itminput, with the
property leafDeviceId. A leaf that is new is asked for at the cloud, with a message
on the output itmoutput that "sluice provision" answers, or Microsoft's function.
Until then its messages are kept; then they go up under the leaf's own identity.
What the hub has for a leaf goes down on the output itmdown. The deployment needs
these routes:

  FROM /messages/modules/TRANSLATOR/outputs/* INTO BrokeredEndpoint("/modules/ITM/inputs/itminput")
  FROM /messages/modules/ITM/outputs/itmoutput INTO $upstream
  FROM /messages/modules/ITM/outputs/itmdown WHERE moduleId = 'TRANSLATOR' INTO BrokeredEndpoint("/modules/TRANSLATOR/inputs/leaf")
  FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO $upstream`

const identityExamples = `  As a module of a deployment, for two translators alone:
    sluice module identity-translation --translators ptm-mqtt,ptm-modbus

  A small box that prefers what is new:
    sluice module identity-translation --max-size 64MiB --max-leaf-size 1MiB --when-full drop-oldest`

type identityFlags struct {
	moduleFlags
	data              string
	maxSize, leafSize string
	full              string
	opt               translate.Options
}

func identityTranslationCommand() *cobra.Command {
	f := &identityFlags{}
	cmd := &cobra.Command{
		Use:     "identity-translation",
		Short:   "Give devices that know nothing of IoT Hub an identity there",
		Long:    identityLong,
		Example: identityExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runIdentity(cmd, f) },
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.StringVar(&f.data, "data", "identity-translation", "`directory` for kept messages and what is known of leaves")
	flags.StringSliceVar(&f.opt.Translators, "translators", nil, "`modules` that may speak for leaves (default: any that routes lead here)")
	flags.BoolVar(&f.opt.NoPass, "no-pass", false, "drop messages without a leaf id, instead of passing them on to itmoutput")
	flags.StringVar(&f.maxSize, "max-size", "1GiB", "`size` of all kept messages, at most")
	flags.StringVar(&f.leafSize, "max-leaf-size", "16MiB", "`size` of one leaf's kept messages, at most")
	flags.IntVar(&f.opt.MaxLeaves, "max-leaves", 50_000, "`number` of leaves, at most")
	flags.DurationVar(&f.opt.KeepFor, "keep-for", 7*24*time.Hour, "how long messages are kept")
	flags.StringVar(&f.full, "when-full", string(translate.Refuse), "refuse a leaf's message, so that the gateway delivers it again, or drop-oldest")
	flags.Float64Var(&f.opt.RegisterRate, "register-rate", 50, "requests to the cloud a second, at most")
	flags.DurationVar(&f.opt.Patience.AskAgain, "ask-again", 30*time.Second, "when a request without an answer is repeated first; later each time")
	flags.DurationVar(&f.opt.Patience.Refusal, "refusal", 10*time.Minute, "how long the cloud's refusal of a leaf is remembered")
	return cmd
}

func runIdentity(cmd *cobra.Command, f *identityFlags) (err error) {
	if f.opt.MaxBytes, err = sizeFlag("max-size", f.maxSize); err != nil {
		return err
	}
	if f.opt.MaxLeafBytes, err = sizeFlag("max-leaf-size", f.leafSize); err != nil {
		return err
	}
	if f.opt.Full = translate.Full(f.full); f.opt.Full != translate.Refuse && f.opt.Full != translate.DropOldest {
		return usagef("--when-full %s: it must be refuse or drop-oldest", f.full)
	}
	if f.opt.RegisterRate <= 0 || f.opt.MaxLeaves <= 0 {
		return usagef("--register-rate and --max-leaves must be positive")
	}
	m, err := f.open(cmd)
	if err != nil {
		return err
	}
	defer m.Close()
	f.opt.Gateway, f.opt.Log = m.Client, m.log
	return serveIdentity(cmd.Context(), f, m.log)
}

// serveIdentity runs the module until ctx ends or its disk fails. After that nothing
// is closed any more: nothing that the disk says could be trusted.
func serveIdentity(ctx context.Context, f *identityFlags, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 2)
	store, err := translate.OpenStore(f.data, log, func(err error) { failed <- err; stop() })
	var locked *spool.LockedError
	if errors.As(err, &locked) {
		return withHint(err, "one process at a time: end the other, or give this one a directory of its own with --data")
	}
	if err != nil {
		return err
	}
	f.opt.Kept, f.opt.State = store.Kept, store.State
	m, err := translate.New(f.opt)
	if err == nil {
		err = m.Run(ctx)
	}
	select {
	case cause := <-failed:
		return errors.Join(cause, err)
	default:
		return errors.Join(err, store.Close())
	}
}

// sizeFlag reads a size: a number of bytes, or one with KiB, MiB or GiB.
func sizeFlag(name, text string) (int64, error) {
	digits, unit := text, int64(1)
	for suffix, size := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			digits, unit = rest, size
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 32)
	if err != nil || n <= 0 {
		return 0, usagef("--%s %s: it must be a size such as 64MiB", name, text)
	}
	return n * unit, nil
}
