package module

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sluice/internal/atomicfile"
)

// fileEvery is how often a deployment file is looked at.
const fileEvery = 2 * time.Second

type fileStamp struct {
	size int64
	mod  time.Time
}

func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.Size(), info.ModTime()}
}

// followFile applies the deployment file, and each change of it, until ctx ends.
func (r *Runtime) followFile(ctx context.Context) {
	tick := time.NewTicker(fileEvery)
	defer tick.Stop()
	for last := (fileStamp{size: -1}); ; {
		if now := stampOf(r.opt.File); now != last {
			last = now
			text, err := os.ReadFile(r.opt.File)
			if err != nil {
				r.log.Error("the deployment cannot be read; what runs goes on", "err", err)
				r.decide(0, err)
			} else {
				r.take(ctx, 0, text)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// take applies a deployment if it is right, and notes what became of it.
func (r *Runtime) take(ctx context.Context, version int64, text []byte) {
	m, err := ParseManifest(text)
	var f *Fault
	if errors.As(err, &f) && f.Code == 417 {
		r.log.Info("there is no deployment yet", "version", version)
		r.decide(version, err)
		return
	}
	if err != nil {
		r.log.Error("the deployment is wrong; what runs goes on", "version", version, "err", err)
		r.decide(version, err)
		return
	}
	r.log.Info("deployment", "version", version, "modules", len(m.Modules))
	r.Apply(ctx, m)
	r.decide(version, nil)
}

// decide notes what became of a deployment.
func (r *Runtime) decide(version int64, err error) {
	o := outcome{version: version, code: 200}
	if err != nil {
		o.code, o.text = 500, err.Error()
		var f *Fault
		if errors.As(err, &f) {
			o.code = f.Code
		}
	}
	r.mu.Lock()
	r.outcome = o
	r.mu.Unlock()
	r.changed()
}

// kept is the file of the last good deployment of the hub.
func (r *Runtime) kept() string { return filepath.Join(r.opt.Dir, "deployment.json") }

// keep remembers a deployment for starts without the hub. It may have secrets.
func (r *Runtime) keep(text []byte) {
	if err := atomicfile.Write(r.kept(), text, 0o600); err != nil {
		r.log.Error("the deployment is not remembered", "err", err)
	}
}

// resume begins with the deployment that was kept.
func (r *Runtime) resume(ctx context.Context) {
	text, err := os.ReadFile(r.kept())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		var m *Manifest
		if m, err = ParseManifest(text); err == nil {
			r.log.Info("the last deployment is resumed", "modules", len(m.Modules))
			r.Apply(ctx, m)
			return
		}
	}
	r.log.Error("the last deployment cannot be resumed", "err", err)
}
