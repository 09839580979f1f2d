package cli

import (
	"errors"
	"strings"

	"sluice/internal/spelling"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// unknownCommand is the error for a word where a command should be.
func unknownCommand(cmd *cobra.Command, word string) error {
	err := usagef("%s has no command %q", cmd.CommandPath(), word)
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(append(names, sub.Name()), sub.Aliases...)
		}
	}
	if best := nearest(word, names); best != "" {
		return withHint(err, "did you mean %q?", cmd.CommandPath()+" "+best)
	}
	return withHint(err, "%q lists the commands", cmd.CommandPath()+" --help")
}

// flagError turns pflag's complaint into ours. A flag is not blamed when a
// word before it is not a command: that word is the mistake.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	if rest := cmd.Flags().Args(); cmd.HasSubCommands() && len(rest) > 0 {
		return unknownCommand(cmd, rest[0])
	}
	see := cmd.CommandPath() + " --help"
	var missing *pflag.NotExistError
	if errors.As(err, &missing) {
		err = usagef("%s has no flag %s", cmd.CommandPath(), dashed(missing))
		if best := nearest(missing.GetSpecifiedName(), flagNames(cmd)); best != "" {
			return withHint(err, "did you mean --%s?", best)
		}
		return withHint(err, "%q lists the flags", see)
	}
	return withHint(usagef("%s: %w", cmd.CommandPath(), err), "%q explains the flags", see)
}

func dashed(e *pflag.NotExistError) string {
	if e.GetSpecifiedShortnames() != "" {
		return "-" + e.GetSpecifiedName()
	}
	return "--" + e.GetSpecifiedName()
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return names
}

// nearest is the candidate that word was probably meant to be, or "": one that
// it begins, or one that is spelled much like it.
func nearest(word string, candidates []string) string {
	if len(word) < 2 {
		return ""
	}
	word = strings.ToLower(word)
	return spelling.Nearest(word, candidates, func(c string) bool { return len(word) > 2 && strings.HasPrefix(c, word) })
}
