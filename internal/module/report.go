package module

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"time"
)

// maxText is the longest text of a report. Longer createOptions are told in pieces,
// as a deployment has them.
const maxText = 512

// reported is what edgeAgent reports: the deployment of some version of the desired
// properties, and how its modules are.
func (r *Runtime) reported(version int64) json.RawMessage {
	r.mu.Lock()
	o, m := r.outcome, r.manifest
	r.mu.Unlock()
	stopping := r.closing.Err() != nil
	if stopping {
		o.code, o.text = 406, "the gateway has stopped"
	}
	if m == nil {
		m = &Manifest{}
	}
	modules := map[string]any{}
	for _, s := range r.List() {
		modules[s.Spec.Name] = s.report(stopping)
	}
	doc := map[string]any{
		"schemaVersion":     "1.0",
		"lastDesiredStatus": map[string]any{"code": o.code, "description": cut(o.text)},
		"runtime": map[string]any{
			"type":     typeOf(m.runtime),
			"platform": map[string]any{"os": runtime.GOOS, "architecture": runtime.GOARCH},
		},
		"systemModules": map[string]any{
			"edgeAgent": r.system(m.system["edgeAgent"], stopping),
			"edgeHub":   r.system(m.system["edgeHub"], stopping),
		},
		"modules": modules,
	}
	if r.opt.File == "" {
		doc["lastDesiredVersion"] = cmp.Or(o.version, version)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("text and numbers have a form: %v", err))
	}
	return text
}

// typeOf is the type that a part of a deployment says.
func typeOf(text json.RawMessage) string {
	var t struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(text, &t) // there may be none
	return cmp.Or(t.Type, TypeProcess)
}

// system is the report of edgeAgent and edgeHub, which the gateway is both of.
func (r *Runtime) system(given json.RawMessage, stopping bool) map[string]any {
	var t struct {
		Settings struct {
			Image string `json:"image"`
		} `json:"settings"`
	}
	_ = json.Unmarshal(given, &t) // there may be none
	state := Running
	if stopping {
		state = Unknown
	}
	return map[string]any{
		"type":             typeOf(given),
		"settings":         map[string]any{"image": cmp.Or(t.Settings.Image, "sluice")},
		"runtimeStatus":    state,
		"exitCode":         0,
		"lastStartTimeUtc": r.began.UTC().Format(time.RFC3339),
	}
}

// report is a module in edgeAgent's form.
func (s *Status) report(stopping bool) map[string]any {
	state := s.State
	if stopping {
		state = Unknown
	}
	status := "running"
	if s.Spec.Stopped {
		status = "stopped"
	}
	env := map[string]any{}
	for key, value := range s.Spec.Env {
		env[key] = map[string]any{"value": value}
	}
	doc := map[string]any{
		"type": s.Spec.Type, "settings": s.Spec.reportSettings(), "env": env,
		"status": status, "restartPolicy": s.Spec.Restart, "startupOrder": s.Spec.Order,
		"runtimeStatus": state, "statusDescription": cut(s.Description),
		"exitCode": s.ExitCode, "restartCount": s.Restarts,
	}
	maps.Copy(doc, filled(map[string]string{
		"version": s.Spec.Version, "imagePullPolicy": s.Spec.Pull,
		"lastStartTimeUtc": instant(s.Started), "lastExitTimeUtc": instant(s.Exited), "lastRestartTimeUtc": instant(s.Restarted),
	}))
	return doc
}

func (s *Spec) reportSettings() map[string]any {
	settings := map[string]any{"image": s.Image}
	for i, rest := 0, string(s.given); rest != ""; i++ {
		piece := rest[:min(len(rest), maxText)]
		rest = rest[len(piece):]
		name := "createOptions"
		if i > 0 {
			name += fmt.Sprintf("%02d", i)
		}
		settings[name] = piece
	}
	return settings
}

// filled leaves out what is empty.
func filled(all map[string]string) map[string]any {
	some := map[string]any{}
	for key, value := range all {
		if value != "" {
			some[key] = value
		}
	}
	return some
}

// instant writes a time, or nothing for one that never was.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func cut(text string) string { return text[:min(len(text), maxText)] }
