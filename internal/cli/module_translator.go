package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/translator"
)

// translatorFlags are those of every protocol translator. It has a file that says what it
// translates.
type translatorFlags struct {
	moduleFlags
	what    string // the file's content is called: "description"
	example string // a file, with comments

	file        string
	check, show bool
}

// add adds the flags; usage is that of the file, which has the name file by default.
func (f *translatorFlags) add(flags *pflag.FlagSet, file, usage string) {
	f.moduleFlags.add(flags)
	flags.StringVarP(&f.file, "config", "c", file, usage+", in TOML, or in JSON if its name ends in .json")
	flags.BoolVar(&f.check, "check", false, "check the "+f.what+", and end")
	flags.BoolVar(&f.show, "example", false, "print a commented "+f.what+", and end")
}

// run reads the file with load and runs the translator with serve, unless the flags ask
// for less.
func (f *translatorFlags) run(cmd *cobra.Command, load func(file string) error, serve func(translator.Options) error) error {
	if f.show {
		_, err := io.WriteString(cmd.OutOrStdout(), f.example)
		return err
	}
	if err := load(f.file); err != nil {
		return err
	}
	if f.check {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "The %s is good.\n", f.what)
		return err
	}
	m, err := f.open(cmd)
	if err != nil {
		return err
	}
	defer m.Close()
	return serve(translator.Options{ModuleID: m.id.Module, DeviceID: m.id.Device, Connect: m.Connect, Log: m.log})
}
