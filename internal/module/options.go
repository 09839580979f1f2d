package module

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what a process has a meaning for of Docker's options to create a
// container.
type options struct {
	Cmd         words
	Entrypoint  words
	Env         []string // K=V, which win over the deployment's env
	WorkingDir  string
	User        string // name or number, perhaps with :group
	StopSignal  string
	StopTimeout *int // seconds
	HostConfig  struct {
		LogConfig struct {
			Config struct {
				MaxSize string `json:"max-size"`
				MaxFile string `json:"max-file"`
			}
		}
	}

	idle    []string // fields without a meaning
	maxSize int64
	maxFile int
}

// words are arguments: a list, or one alone.
type words []string

// UnmarshalJSON reads a list of texts, or one text.
func (w *words) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(w))
}

// meant are the fields that options has.
var meant = []string{"Cmd", "Entrypoint", "Env", "WorkingDir", "User", "StopSignal", "StopTimeout", "HostConfig"}

// joinOptions puts createOptions together, which a twin has as text in pieces of 512
// characters: createOptions, createOptions01, createOptions02 and so on. A file may
// have it as an object.
func joinOptions(settings map[string]json.RawMessage) (json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	for name, text := range settings {
		if number, ok := strings.CutPrefix(strings.ToLower(name), "createoptions"); ok {
			fields[number] = text
		}
	}
	if first := bytes.TrimSpace(fields[""]); len(first) > 0 && first[0] == '{' && len(fields) == 1 {
		return first, nil
	}
	var all string
	for i, number := range slices.Sorted(maps.Keys(fields)) {
		var part string
		if err := json.Unmarshal(fields[number], &part); err != nil {
			return nil, fmt.Errorf("settings.createOptions%s: %w", number, err)
		}
		if i > 0 && number != fmt.Sprintf("%02d", i) {
			return nil, fmt.Errorf("settings.createOptions%02d is missing, and createOptions%s is there", i, number)
		}
		all += part
	}
	return json.RawMessage(all), nil
}

func parseOptions(text json.RawMessage) (options, error) {
	o := options{maxSize: defaultMaxSize, maxFile: defaultMaxFile}
	if t := strings.TrimSpace(string(text)); t == "" || t == "null" {
		return o, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return o, fmt.Errorf("settings.createOptions is no JSON object: %w", err)
	}
	for name := range all {
		if !slices.ContainsFunc(meant, func(m string) bool { return strings.EqualFold(m, name) }) {
			o.idle = append(o.idle, name)
		}
	}
	slices.Sort(o.idle)
	if err := json.Unmarshal(text, &o); err != nil {
		return o, fmt.Errorf("settings.createOptions: %w", err)
	}
	return o, o.check()
}

func (o *options) check() (err error) {
	for _, v := range o.Env {
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			return fmt.Errorf("settings.createOptions.Env: %q is not KEY=VALUE", v)
		}
		if _, err := envValue(key, value); err != nil {
			return fmt.Errorf("settings.createOptions: %w", err)
		}
	}
	if o.StopTimeout != nil && (*o.StopTimeout < 0 || *o.StopTimeout > 3600) {
		return errors.New("settings.createOptions.StopTimeout is a number of seconds, up to an hour")
	}
	if _, ok := signalOf(o.StopSignal); !ok {
		return fmt.Errorf("settings.createOptions.StopSignal %q is no signal", o.StopSignal)
	}
	c := o.HostConfig.LogConfig.Config
	if c.MaxSize != "" {
		if o.maxSize, err = parseSize(c.MaxSize); err != nil {
			return fmt.Errorf("settings.createOptions.HostConfig.LogConfig.Config.max-size: %w", err)
		}
	}
	if c.MaxFile != "" {
		if o.maxFile, err = strconv.Atoi(c.MaxFile); err != nil || o.maxFile < 1 || o.maxFile > 1000 {
			return errors.New("settings.createOptions.HostConfig.LogConfig.Config.max-file is a number of files, from 1 to 1000")
		}
	}
	return nil
}

// parseSize reads bytes as Docker does: a number, perhaps with k, m or g.
func parseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	switch {
	case strings.HasSuffix(strings.ToLower(s), "k"):
		number, unit = s[:len(s)-1], 1<<10
	case strings.HasSuffix(strings.ToLower(s), "m"):
		number, unit = s[:len(s)-1], 1<<20
	case strings.HasSuffix(strings.ToLower(s), "g"):
		number, unit = s[:len(s)-1], 1<<30
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is no size; write 10m, for instance", s)
	}
	return n * unit, nil
}

// defaultGrace is how long a module may take to stop, as with Docker.
const defaultGrace = 10 * time.Second

func (o *options) grace() time.Duration {
	if o.StopTimeout == nil {
		return defaultGrace
	}
	return time.Duration(*o.StopTimeout) * time.Second
}
