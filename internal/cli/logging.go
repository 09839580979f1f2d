package cli

import (
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/pflag"
)

// logFlags are those of commands that run until they are stopped.
type logFlags struct{ level, format string }

func (f *logFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.level, "log-level", "info", "`level` of the log on standard error: debug, info, warn or error")
	flags.StringVar(&f.format, "log-format", "text", "`form` of the log: text or json")
}

// logger makes the log that the flags ask for.
func (f *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	var opt slog.HandlerOptions
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, usagef("--log-level %s: it must be debug, info, warn or error", f.level)
	}
	opt.Level = level
	switch strings.ToLower(f.format) {
	case "text":
		return slog.New(slog.NewTextHandler(w, &opt)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &opt)), nil
	}
	return nil, usagef("--log-format %s: it must be text or json", f.format)
}
