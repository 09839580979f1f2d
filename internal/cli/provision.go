package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"sluice/internal/eventhub"
	"sluice/internal/provision"
	"sluice/internal/service"
	"sluice/internal/tlsx"
)

const provisionLong = `Makes the devices of leaves at a hub: machines that know nothing of IoT Hub, for which
an identity translation module on a gateway asks. Devices on the allow list are
created in the gateway's scope, with keys that the module can derive too; the module
is told of that, and of every refusal, by its direct method ItmCallback.

With --follow the requests are read from the hub's events, on its Event Hubs-compatible
endpoint, and after a restart from where reading ended. Without it the service takes
them from Event Grid: subscribe it to the hub's telemetry, as a webhook whose URL
ends in ?code= and the code that is kept in the file "code" in the data directory.
Beyond this machine that needs --cert and --key, or a proxy in front.

The allow list is a file, which is watched, or a URL, such as that of a blob with a
shared access signature, which is read every 30 seconds. It has one entry on a line:

  pump-7                the leaf of exactly this id
  prefix:meter-         ids that begin so
  glob:press-[0-9]-*    * is any run of characters, ? one, [0-9a-f] one of these
  cidr:10.1.0.0/16      ids that are IP addresses of this network
  id:prefix:7           exactly this id, if it looks like one of the forms above

A line that begins with # is a comment. A list with a mistake is not taken.

The hub's policy needs the rights RegistryRead, RegistryWrite and ServiceConnect, as
iothubowner has them.

` + reachHelp

const provisionExamples = `  For a local hub, whose events are read:
    sluice provision --allow leaves.txt --follow

  For Azure IoT Hub with Event Grid, behind a proxy that speaks HTTPS:
    export IOTHUB_CONNECTION_STRING="HostName=…;SharedAccessKeyName=…;SharedAccessKey=…"
    sluice provision --allow leaves.txt --listen 127.0.0.1:7071

  A list that is a blob, and one name that translation modules may have:
    sluice provision --allow "https://site.blob.core.windows.net/lists/leaves.txt?sv=…" --module identity-translation --follow`

type provisionFlags struct {
	reach
	allow, listen, dir, cert, key, group string
	follow                               bool
	modules                              []string
	rate                                 float64
	log                                  logFlags
}

func provisionCommand() *cobra.Command {
	f := &provisionFlags{}
	cmd := &cobra.Command{
		Use:     "provision",
		Short:   "Make devices for the leaves that identity translation asks for",
		Long:    provisionLong,
		Example: provisionExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runProvision(cmd, f) },
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.StringVar(&f.allow, "allow", "", "the allow list: a `file or URL`; required")
	flags.BoolVar(&f.follow, "follow", false, "read the hub's events, instead of waiting for Event Grid's")
	flags.StringVar(&f.listen, "listen", "", "`address` (HOST:PORT) for Event Grid's events (default 127.0.0.1:7071, none with --follow)")
	flags.StringVar(&f.cert, "cert", "", "`file` with the certificate chain for --listen; without it, plain HTTP, on a loopback address")
	flags.StringVar(&f.key, "key", "", "`file` with its private key")
	flags.StringVar(&f.dir, "data", "sluice-provision", "`directory` for what must survive a restart")
	flags.StringVar(&f.group, "consumer-group", "$Default", "`name` of the consumer group, with --follow")
	flags.StringSliceVar(&f.modules, "module", nil, "only modules of this `name` may ask; may be repeated (default any)")
	flags.Float64Var(&f.rate, "rate", provision.DefaultRate, "`requests` a second that are done for one module")
	f.log.add(flags)
	return cmd
}

// check finds what is wrong with the flags.
func (f *provisionFlags) check() error {
	switch {
	case f.allow == "":
		return withHint(usagef("--allow is missing: without a list nothing may be created"), "a list that allows everything is one line: glob:*")
	case f.rate <= 0 || f.rate > 10_000:
		return usagef("--rate %g: it must be above 0 and at most 10000", f.rate)
	case (f.cert == "") != (f.key == ""):
		return usagef("--cert and --key belong together")
	}
	if f.listen == "" && !f.follow {
		f.listen = "127.0.0.1:7071"
	}
	if f.listen == "" || f.cert != "" {
		return nil
	}
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return usagef("--listen %s: it must be HOST:PORT", f.listen)
	}
	if a, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !a.IsLoopback()) {
		return withHint(usagef("--listen %s: others can read what is sent there", f.listen), "give --cert and --key, or listen on 127.0.0.1 behind a proxy that speaks HTTPS")
	}
	return nil
}

func runProvision(cmd *cobra.Command, f *provisionFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	log, err := f.log.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	allow, err := provision.OpenAllow(ctx, f.allow, log)
	if err != nil {
		return err
	}
	t, err := f.target()
	if err != nil {
		return err
	}
	client, err := service.New(t.connection, t.options)
	if err != nil {
		return withExit(err, ExitUsage)
	}
	defer client.Close()
	s, err := provision.Open(provision.Config{Hub: client, Allow: allow.Find, Dir: f.dir, Modules: f.modules, Rate: f.rate, Log: log})
	if errors.Is(err, provision.ErrLocked) {
		return withHint(err, "give this one a directory of its own with --data")
	}
	if err != nil {
		return err
	}
	source, err := f.source(cmd.OutOrStdout(), t, s, log)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	log.Info("ready", "hub", t.connection.HostName, "entries", allow.Len(), "follow", f.follow)
	return serveProvision(ctx, s, log, allow.Watch, source)
}

// serveProvision runs the service, its allow list, and where its requests come from.
func serveProvision(ctx context.Context, s *provision.Service, log *slog.Logger, watch func(context.Context), source func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	var failed error
	group.Go(func() { watch(ctx) })
	group.Go(func() {
		failed = source(ctx)
		cancel()
	})
	tellSystemd(log, "READY=1")
	// What was asked for last must find the journal open.
	worked := make(chan error, 1)
	worker, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go func() {
		worked <- s.Run(worker)
		cancel()
	}()
	group.Wait()
	stop()
	err := errors.Join(failed, <-worked)
	c := s.Counts()
	log.Info("stopped", "open", c.Open, "created", c.Created, "updated", c.Updated, "disabled", c.Disabled, "deleted", c.Deleted, "refused", c.Refused, "bad", c.Bad)
	return err
}

// source is where requests come from.
func (f *provisionFlags) source(out io.Writer, t target, s *provision.Service, log *slog.Logger) (func(context.Context) error, error) {
	var sources []func(context.Context) error
	if f.follow {
		opt := eventhub.Options{Roots: t.options.Roots, Address: t.options.Address, Port: t.amqpPort, ConsumerGroup: f.group}
		reader, err := eventhub.New(t.connection, opt)
		if err != nil {
			return nil, withExit(err, ExitUsage)
		}
		sources = append(sources, func(ctx context.Context) error { return s.Follow(ctx, reader) })
	}
	if f.listen != "" {
		serve, err := f.webhook(out, s, log)
		if err != nil {
			return nil, err
		}
		sources = append(sources, serve)
	}
	return func(ctx context.Context) error { return all(ctx, sources) }, nil
}

// all runs functions together until one ends, and then ends the others.
func all(ctx context.Context, run []func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(run))
	for _, f := range run {
		go func() {
			results <- f(ctx)
			cancel()
		}()
	}
	var err error
	for range run {
		err = errors.Join(err, <-results)
	}
	return err
}

// webhook listens for Event Grid.
func (f *provisionFlags) webhook(out io.Writer, s *provision.Service, log *slog.Logger) (func(context.Context) error, error) {
	code, err := provision.Code(f.dir)
	if err != nil {
		return nil, err
	}
	scheme, config := "http", (*tls.Config)(nil)
	var cert *tlsx.Certificate
	if f.cert != "" {
		if cert, err = tlsx.LoadCertificate(f.cert, f.key); err != nil {
			return nil, withExit(err, ExitUsage)
		}
		scheme, config = "https", tlsx.ServerConfig(cert)
		config.ClientAuth = tls.NoClientCert
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", f.listen)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "Event Grid's events are taken at %s://%s/?code=… (the code is in %s).\n", scheme, l.Addr(), filepath.Join(f.dir, "code"))
	if cert == nil {
		return func(ctx context.Context) error { return s.Serve(ctx, l, nil, code) }, nil
	}
	return func(ctx context.Context) error {
		return all(ctx, []func(context.Context) error{
			func(ctx context.Context) error { cert.Watch(ctx, log); <-ctx.Done(); return nil },
			func(ctx context.Context) error { return s.Serve(ctx, tlsx.Listen(l, tlsx.Limits{}, log), config, code) },
		})
	}, nil
}
