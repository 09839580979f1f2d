package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// maxJSONFile bounds a file with JSON, in bytes.
const maxJSONFile = 8 << 20

// jsonArg reads JSON from a flag: the text itself, @FILE, or - for standard input.
// The empty text is nil. Nothing was done yet when it fails.
func jsonArg(cmd *cobra.Command, flag, value string) (json.RawMessage, error) {
	text, from := []byte(value), "--"+flag
	var err error
	switch {
	case value == "":
		return nil, nil
	case value == "-":
		text, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxJSONFile))
		from += " (standard input)"
	case strings.HasPrefix(value, "@"):
		text, err = readFile(value[1:])
		from += " " + value[1:]
	}
	if err != nil {
		return nil, withExit(fmt.Errorf("--%s: %w", flag, err), ExitUsage)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // as some editors write
	var raw json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, withHint(usagef("%s: not JSON: %w", from, err), "text in JSON stands in double quotes; in a shell put single quotes around all of it, or give @FILE")
	}
	return raw, nil
}

// objectArg is jsonArg for what must be a JSON object.
func objectArg(cmd *cobra.Command, flag, value string) (json.RawMessage, error) {
	raw, err := jsonArg(cmd, flag, value)
	if err == nil && raw != nil && bytes.TrimSpace(raw)[0] != '{' {
		return nil, usagef("--%s: not a JSON object, such as {\"interval\": 10}", flag)
	}
	return raw, err
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(io.LimitReader(f, maxJSONFile+1))
	if len(text) > maxJSONFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxJSONFile)
	}
	return text, err
}
