package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sluice/internal/edge"
	"sluice/internal/edge/config"
	"sluice/internal/spool"
)

const edgeLong = `Run a gateway: devices connect to it as to IoT Hub, and it keeps each message on
disk until the hub has it.

The configuration is TOML with the keys of IoT Edge's config.toml. The log goes
to standard error. On a first interrupt the gateway stops within seconds; nothing
that it acknowledged is lost, whichever way it ends. On SIGHUP it reads its
server certificate again, which it would find within seconds by itself.`

const edgeExamples = `  Begin with a commented configuration, and see what it would do:
    sluice edge --example > config.toml
    sluice edge --check

  Run:
    sluice edge --config /etc/sluice/config.toml`

// configPlaces are where the configuration is looked for.
var configPlaces = []string{"config.toml", "/etc/sluice/config.toml"}

type edgeFlags struct {
	config         string
	check, example bool
	log            logFlags
}

func edgeCommand() *cobra.Command {
	f := &edgeFlags{}
	cmd := &cobra.Command{
		Use:     "edge",
		Short:   "Run a gateway",
		Long:    edgeLong,
		Example: edgeExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runEdge(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "configuration `file` (default ./config.toml, then /etc/sluice/config.toml)")
	flags.BoolVar(&f.check, "check", false, "check the configuration, say what it would do, and end")
	flags.BoolVar(&f.example, "example", false, "print a commented configuration, and end")
	f.log.add(flags)
	level := flags.Lookup("log-level")
	f.log.level, level.DefValue = "", ""
	level.Usage += " (default: the configuration's)"
	return cmd
}

func runEdge(cmd *cobra.Command, f *edgeFlags) error {
	if f.example {
		_, err := io.WriteString(cmd.OutOrStdout(), edge.Example)
		return err
	}
	cfg, err := f.load()
	if err != nil {
		return err
	}
	if f.log.level == "" {
		f.log.level = cfg.LogLevel
	}
	log, err := f.log.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if f.check {
		return printPlan(cmd.OutOrStdout(), cfg)
	}
	e, err := edge.Open(cfg, log)
	var locked *spool.LockedError
	if errors.As(err, &locked) {
		return withHint(err, "one process at a time: end the other, or give this one a data_dir of its own under [sluice]")
	}
	if err != nil {
		return err
	}
	return serveEdge(cmd.Context(), e, log)
}

// serveEdge runs a gateway that is open, and tells systemd.
func serveEdge(ctx context.Context, e *edge.Edge, log *slog.Logger) error {
	defer onHangup(e.Reload)()
	told := make(chan struct{})
	early := context.AfterFunc(ctx, func() { defer close(told); tellSystemd(log, "STOPPING=1") })
	tellSystemd(log, "READY=1")
	log.Info("ready")
	err := tendingMemory(ctx, e.Run)
	if !early() {
		<-told
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// load reads the configuration that was named, or the first that is there.
func (f *edgeFlags) load() (*config.Config, error) {
	if f.config != "" {
		return config.Load(f.config)
	}
	for _, place := range configPlaces {
		cfg, err := config.Load(place)
		if !errors.Is(err, fs.ErrNotExist) {
			return cfg, err
		}
	}
	return nil, withHint(fmt.Errorf("no configuration: neither ./%s nor %s is there", configPlaces[0], configPlaces[1]),
		"name one with --config FILE, or begin with: sluice edge --example > config.toml")
}

func printPlan(out io.Writer, cfg *config.Config) error {
	facts, err := edge.Plan(cfg)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, fact := range facts {
		fmt.Fprintf(w, "%s\t%s\n", fact.Name, fact.Value)
	}
	return w.Flush()
}

// onHangup calls f on each SIGHUP, until the function it returns is called.
func onHangup(f func()) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hangups {
			f()
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-done
	}
}
