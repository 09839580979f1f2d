package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sluice/internal/hub/code"
	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/iot"
)

const updateLong = `Changes what the flags name, and leaves the rest of a device or module as it is.

To change keys without an interruption: give the device the secondary key, swap the
keys, and make a new secondary one later.`

const updateExamples = `  sluice device update pump-7 --disable --reason "leaks"
  sluice device update pump-7 --parent site-2
  sluice device update pump-7 --swap-keys`

type updateFlags struct {
	*deviceFlags
	proof              proofFlags
	enable, disable    bool
	reason             string
	parent             string
	noParent           bool
	edge               bool
	newKeys, swapKeys  bool
	changed            func(flag string) bool
	authenticationWant *service.Authentication
}

// Flags that exclude each other, and those that say something about devices only.
var (
	updateProofs = append([]string{"new-keys", "swap-keys"}, proofNames...)
	deviceOnly   = []string{"enable", "disable", "reason", "parent", "no-parent", "edge"}
)

func deviceUpdateCommand(df *deviceFlags) *cobra.Command {
	f := &updateFlags{deviceFlags: df}
	cmd := &cobra.Command{
		Use:     "update ID",
		Short:   "Change a device or module",
		Long:    updateLong,
		Example: updateExamples,
		Args:    oneID,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			return errors.Join(exclusive(cmd.Flags(), updateProofs...),
				exclusive(cmd.Flags(), "enable", "disable"), exclusive(cmd.Flags(), "parent", "no-parent"))
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runUpdate(cmd, f, args[0]) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.enable, "enable", false, "let it connect")
	flags.BoolVar(&f.disable, "disable", false, "end its connections and refuse new ones")
	flags.StringVar(&f.reason, "reason", "", "`text` for people on why it is enabled or disabled, at most 128 characters")
	flags.StringVar(&f.parent, "parent", "", "put it below this `edge device`")
	flags.BoolVar(&f.noParent, "no-parent", false, "put it below none")
	flags.BoolVar(&f.edge, "edge", false, "make it an edge device")
	flags.BoolVar(&f.newKeys, "new-keys", false, "make two new keys; the old ones are no longer good")
	flags.BoolVar(&f.swapKeys, "swap-keys", false, "make the secondary key the primary one, and the other way round")
	f.proof.add(flags)
	f.changed = flags.Changed
	return cmd
}

func runUpdate(cmd *cobra.Command, f *updateFlags, arg string) error {
	id, err := parseID(arg)
	if err != nil {
		return err
	}
	if err := f.check(id); err != nil {
		return err
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	updated, err := f.update(cmd.Context(), c, id)
	if err != nil {
		return refusedHint(err, id)
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), updated)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "updated %s\n", noun(id))
	return nil
}

func (f *updateFlags) check(id iot.Identity) (err error) {
	any := false
	for _, name := range deviceOnly {
		if f.changed(name) && id.IsModule() {
			return usagef("module %s: --%s is for devices", id, name)
		}
		any = any || f.changed(name)
	}
	for _, name := range updateProofs {
		any = any || f.changed(name)
	}
	if !any {
		return withHint(usagef("nothing was said to change"), "the flags are --%s", strings.Join(append(deviceOnly, updateProofs...), ", --"))
	}
	f.authenticationWant, err = f.proof.authentication(id)
	return err
}

// update reads, changes and writes back, again if somebody else did so at the
// same time.
func (f *updateFlags) update(ctx context.Context, c *service.Client, id iot.Identity) (updated any, err error) {
	for range 3 {
		if id.IsModule() {
			updated, err = f.updateModule(ctx, c, id)
		} else {
			updated, err = f.updateDevice(ctx, c, id.Device)
		}
		if !errors.Is(err, code.PreconditionFailed) {
			break
		}
	}
	return updated, err
}

func (f *updateFlags) updateModule(ctx context.Context, c *service.Client, id iot.Identity) (service.Module, error) {
	m, err := c.Module(ctx, id)
	if err != nil {
		return m, err
	}
	if m.Authentication, err = f.authentication(id, m.Authentication); err != nil {
		return m, err
	}
	return c.UpdateModule(ctx, m)
}

func (f *updateFlags) updateDevice(ctx context.Context, c *service.Client, id string) (service.Device, error) {
	d, err := c.Device(ctx, id)
	if err != nil {
		return d, err
	}
	if d.Authentication, err = f.authentication(iot.DeviceIdentity(id), d.Authentication); err != nil {
		return d, err
	}
	switch {
	case f.enable:
		d.Status = "enabled"
	case f.disable:
		d.Status = "disabled"
	}
	if f.changed("reason") {
		d.StatusReason = service.OrNull(f.reason)
	}
	if f.edge && !d.Edge() {
		d.Capabilities, d.DeviceScope = &service.Capabilities{IoTEdge: true}, ""
	}
	switch {
	case f.parent != "":
		err = setParent(ctx, c, &d, f.parent)
	case f.noParent:
		d.ParentScopes = nil
		if !d.Edge() {
			d.DeviceScope = ""
		}
	}
	if err != nil {
		return d, err
	}
	return c.UpdateDevice(ctx, d)
}

// authentication is what the flags make of the proof that is registered.
func (f *updateFlags) authentication(id iot.Identity, old *service.Authentication) (*service.Authentication, error) {
	switch {
	case f.authenticationWant != nil:
		return f.authenticationWant, nil
	case f.newKeys:
		return &service.Authentication{
			Type: iot.AuthSAS, SymmetricKey: &service.SymmetricKey{PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey()},
		}, nil
	case !f.swapKeys:
		return old, nil
	case old == nil || old.SymmetricKey == nil || old.SymmetricKey.SecondaryKey == "":
		return nil, withExit(fmt.Errorf("%s has no keys to swap", noun(id)), ExitRefused)
	}
	k := *old.SymmetricKey
	k.PrimaryKey, k.SecondaryKey = k.SecondaryKey, k.PrimaryKey
	return &service.Authentication{Type: iot.AuthSAS, SymmetricKey: &k}, nil
}
