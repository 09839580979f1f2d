package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/iot"
)

const createLong = `Registers a device, or a module on a device (DEVICE/MODULE).

Without a choice of proof the hub makes two keys, which "sluice device
connection-string" shows. A device below a gateway needs --parent, or the gateway
may not serve it.`

const createExamples = `  sluice device create pump-7
  sluice device create site-1 --edge
  sluice device create pump-8 --parent site-1
  sluice device create meter-3 --ca-signed
  sluice device create site-1/filter`

// proofFlags choose how an identity proves itself.
type proofFlags struct {
	keys, thumbprints []string
	caSigned          bool
}

func (p *proofFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&p.keys, "key", nil, "`key` in base64 instead of one made by the hub; PRIMARY[,SECONDARY]")
	flags.StringSliceVar(&p.thumbprints, "x509-thumbprint", nil, "`thumbprint` of a self-signed certificate instead of keys; PRIMARY[,SECONDARY]")
	flags.BoolVar(&p.caSigned, "ca-signed", false, "a certificate of an authority that the hub trusts instead of keys; its common name is the device id")
}

var proofNames = []string{"key", "x509-thumbprint", "ca-signed"}

// exclusive reports the first two of these flags that were given together.
func exclusive(flags *pflag.FlagSet, names ...string) error {
	given := ""
	for _, name := range names {
		switch {
		case !flags.Changed(name):
		case given == "":
			given = name
		default:
			return usagef("--%s and --%s exclude each other", given, name)
		}
	}
	return nil
}

// authentication is what the flags choose, or nil if they choose nothing.
func (p *proofFlags) authentication(id iot.Identity) (*service.Authentication, error) {
	if id.IsModule() && (p.thumbprints != nil || p.caSigned) {
		return nil, usagef("module %s: modules prove themselves with keys", id)
	}
	switch {
	case p.keys != nil:
		return keyAuth(p.keys)
	case p.thumbprints != nil:
		return thumbprintAuth(p.thumbprints)
	case p.caSigned:
		return &service.Authentication{Type: iot.AuthCA}, nil
	}
	return nil, nil
}

func keyAuth(keys []string) (*service.Authentication, error) {
	if len(keys) > 2 {
		return nil, usagef("--key: there are two keys, not %d", len(keys))
	}
	// Azure IoT Hub wants both or none.
	both := []iot.Secret{iot.Secret(keys[0]), sas.NewKey()}
	if len(keys) == 2 {
		both[1] = iot.Secret(keys[1])
	}
	for _, key := range both {
		if _, err := sas.DecodeKey(key); err != nil {
			return nil, withHint(usagef("--key: %w", err), "16 to 64 random bytes: openssl rand -base64 32")
		}
	}
	return &service.Authentication{
		Type: iot.AuthSAS, SymmetricKey: &service.SymmetricKey{PrimaryKey: both[0], SecondaryKey: both[1]},
	}, nil
}

func thumbprintAuth(list []string) (*service.Authentication, error) {
	if len(list) > 2 {
		return nil, usagef("--x509-thumbprint: there are two thumbprints, not %d", len(list))
	}
	list = slices.Clone(list)
	for i, t := range list {
		clean := strings.ToUpper(strings.NewReplacer(":", "", " ", "").Replace(t))
		if raw, err := hex.DecodeString(clean); err != nil || len(raw) != 20 && len(raw) != 32 {
			return nil, withHint(usagef("--x509-thumbprint %q: it must be 40 (SHA-1) or 64 (SHA-256) hex digits", t),
				"openssl x509 -in device.pem -noout -fingerprint -sha256")
		}
		list[i] = clean
	}
	// A device with one certificate has it in both places.
	return &service.Authentication{Type: iot.AuthSelfSigned, X509Thumbprint: &service.Thumbprints{
		PrimaryThumbprint: service.OrNull(list[0]), SecondaryThumbprint: service.OrNull(list[len(list)-1]),
	}}, nil
}

type createFlags struct {
	*deviceFlags
	proof    proofFlags
	edge     bool
	parent   string
	disabled bool
}

func deviceCreateCommand(df *deviceFlags) *cobra.Command {
	f := &createFlags{deviceFlags: df}
	cmd := &cobra.Command{
		Use:     "create ID",
		Short:   "Register a device or module",
		Long:    createLong,
		Example: createExamples,
		Args:    oneID,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return exclusive(cmd.Flags(), proofNames...) },
		RunE:    func(cmd *cobra.Command, args []string) error { return runCreate(cmd, f, args[0]) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.edge, "edge", false, "it is an edge device: a gateway, with its modules $edgeAgent and $edgeHub")
	flags.BoolVar(&f.edge, "edge-enabled", false, "the same, as Azure's command line has it")
	_ = flags.MarkHidden("edge-enabled") // it is there
	flags.StringVar(&f.parent, "parent", "", "`edge device` that it is below")
	flags.BoolVar(&f.disabled, "disabled", false, "it may not connect yet")
	f.proof.add(flags)
	return cmd
}

func runCreate(cmd *cobra.Command, f *createFlags, arg string) error {
	id, err := parseID(arg)
	if err != nil {
		return err
	}
	if id.IsModule() && (f.edge || f.parent != "" || f.disabled) {
		return usagef("module %s: --edge, --parent and --disabled are for devices", id)
	}
	proof, err := f.proof.authentication(id)
	if err != nil {
		return err
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	var created any
	if id.IsModule() {
		created, err = c.CreateModule(cmd.Context(), service.Module{DeviceID: id.Device, ModuleID: id.Module, Authentication: proof})
	} else {
		created, err = createDevice(cmd.Context(), c, f, id.Device, proof)
	}
	if err != nil {
		return refusedHint(err, id)
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), created)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "created %s\n", noun(id))
	if isTerminal(cmd.OutOrStdout()) && !f.edge {
		fmt.Fprintf(cmd.ErrOrStderr(), "  what it needs to connect: sluice device connection-string %s\n", id)
	}
	return nil
}

func createDevice(ctx context.Context, c *service.Client, f *createFlags, id string, proof *service.Authentication) (service.Device, error) {
	d := service.Device{
		DeviceID: id, Status: "enabled", Authentication: proof,
		Capabilities: &service.Capabilities{IoTEdge: f.edge},
	}
	if f.disabled {
		d.Status = "disabled"
	}
	if f.parent != "" {
		if err := setParent(ctx, c, &d, f.parent); err != nil {
			return d, err
		}
	}
	return c.CreateDevice(ctx, d)
}

// setParent puts d below the edge device parent.
func setParent(ctx context.Context, c *service.Client, d *service.Device, parent string) error {
	p, err := c.Device(ctx, parent)
	switch {
	case err != nil:
		return withHint(fmt.Errorf("--parent: %w", err), "the parent must be there first: sluice device create %s --edge", parent)
	case !p.Edge():
		return withHint(withExit(fmt.Errorf("--parent: %s is not an edge device", parent), ExitRefused),
			"\"sluice device update %s --edge\" makes it one", parent)
	}
	d.ParentScopes = []string{p.DeviceScope}
	if !d.Edge() {
		// The scope of an edge device is its own.
		d.DeviceScope = p.DeviceScope
	}
	return nil
}
