package module

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"sluice/iot"
)

// TypeProcess is the type of modules that are run.
const TypeProcess = "process"

// A Policy says what follows when a module ends by itself.
type Policy string

// The restart policies of IoT Edge.
const (
	Never       Policy = "never"
	OnFailure   Policy = "on-failure"
	OnUnhealthy Policy = "on-unhealthy" // as OnFailure: a process has no other health
	Always      Policy = "always"
)

// Restarts reports whether a module that ended with an exit code is started again.
func (p Policy) Restarts(code int) bool {
	switch p {
	case Always:
		return true
	case OnFailure, OnUnhealthy:
		return code != 0
	}
	return false
}

// lastOrder is the startupOrder of modules that do not say.
const lastOrder = 1<<32 - 1

// A Spec is what a deployment says of one module.
type Spec struct {
	Name    string
	Type    string // TypeProcess, or one that is not run
	Stopped bool   // it should not run now
	Restart Policy
	Order   uint32 // startupOrder
	Version string
	Pull    string // imagePullPolicy, which means nothing to a process

	Image   string
	Env     map[string]string
	options options
	given   json.RawMessage // createOptions, as it is reported
}

type specText struct {
	Type     string                     `json:"type"`
	Status   *string                    `json:"status"`
	Restart  *Policy                    `json:"restartPolicy"`
	Pull     string                     `json:"imagePullPolicy"`
	Order    *uint32                    `json:"startupOrder"`
	Version  string                     `json:"version"`
	Settings map[string]json.RawMessage `json:"settings"`
	Env      map[string]struct {
		Value any `json:"value"`
	} `json:"env"`
}

// parseSpec reads a module of a deployment. Of a type that is not run the settings
// may be anything.
func parseSpec(name string, text json.RawMessage) (Spec, error) {
	var t specText
	if err := json.Unmarshal(text, &t); err != nil {
		return Spec{}, err
	}
	s := Spec{Name: name, Type: t.Type, Restart: OnUnhealthy, Order: lastOrder, Version: t.Version, Pull: t.Pull}
	if t.Restart != nil {
		s.Restart = *t.Restart
	}
	if t.Order != nil {
		s.Order = *t.Order
	}
	id := iot.ModuleIdentity("device", name)
	switch {
	case id.Validate() != nil || !id.IsModule() || name == "." || name == ".." || strings.HasPrefix(name, "$"):
		return s, errors.New("this is no name for a module") // those with $ are the gateway's own, and files are called by it
	case t.Type == "":
		return s, fmt.Errorf("type is missing; write %q", TypeProcess)
	case t.Status == nil:
		return s, errors.New(`status is missing; write "running" or "stopped"`)
	case *t.Status != "running" && *t.Status != "stopped":
		return s, fmt.Errorf(`status is %q; write "running" or "stopped"`, *t.Status)
	case !slices.Contains([]Policy{Never, OnFailure, OnUnhealthy, Always}, s.Restart):
		return s, fmt.Errorf("restartPolicy is %q; write never, on-failure, on-unhealthy or always", s.Restart)
	}
	s.Stopped = *t.Status == "stopped"
	s.Env = map[string]string{}
	for key, v := range t.Env {
		value, err := envValue(key, v.Value)
		if err != nil {
			return s, err
		}
		s.Env[key] = value
	}
	return s, s.settings(t.Settings)
}

// envValue is the text of a variable.
func envValue(key string, v any) (string, error) {
	switch {
	case key == "" || strings.ContainsAny(key, "=\x00"):
		return "", fmt.Errorf("env: %q is no name for a variable", key)
	case ours(key):
		return "", fmt.Errorf("env.%s is set by the gateway, and cannot be set by a deployment", key)
	}
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "\x00") {
			return "", fmt.Errorf("env.%s has a null character in it", key)
		}
		return v, nil
	case bool, float64:
		text, err := json.Marshal(v)
		return string(text), err
	}
	return "", fmt.Errorf("env.%s has no value that is text, a number or a truth value", key)
}

// settings reads what to run.
func (s *Spec) settings(t map[string]json.RawMessage) error {
	if image, ok := t["image"]; ok {
		if err := json.Unmarshal(image, &s.Image); err != nil {
			return fmt.Errorf("settings.image: %w", err)
		}
		s.Image = strings.TrimSpace(s.Image)
	}
	given, err := joinOptions(t)
	if err != nil {
		return err
	}
	s.given = given
	if s.Type != TypeProcess {
		return nil
	}
	if s.options, err = parseOptions(given); err != nil {
		return err
	}
	if argv := s.command(); argv[0] == "" {
		return errors.New("settings.image is missing; write the program's file, or its name in PATH")
	}
	return nil
}

// sameProcess reports whether a running process of s is one of o too.
func (s *Spec) sameProcess(o *Spec) bool {
	return s.Type == o.Type && s.Image == o.Image && s.Stopped == o.Stopped && s.Version == o.Version &&
		maps.Equal(s.Env, o.Env) && reflect.DeepEqual(s.options, o.options)
}

// command is the program and its arguments.
func (s *Spec) command() []string {
	argv := s.options.Entrypoint
	if len(argv) == 0 {
		argv = []string{s.Image}
	}
	return append(argv[:len(argv):len(argv)], s.options.Cmd...)
}
