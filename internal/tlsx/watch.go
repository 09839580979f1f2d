package tlsx

import (
	"context"
	"log/slog"
	"time"
)

// lookEvery is how often the files are looked at, and readEvery how often they
// are read although nothing about them seems new: a file system's clock may be
// coarse, or set back.
const (
	lookEvery = 2 * time.Second
	readEvery = time.Minute
)

// Watch exchanges the certificate when its files have changed, until ctx ends. A
// pair that cannot be read, or whose halves do not belong together, as while
// somebody is writing it, leaves the old one in place and is logged once. It
// returns at once if the certificate does not come from files.
func (c *Certificate) Watch(ctx context.Context, log *slog.Logger) {
	if c.files == nil {
		return
	}
	w := watcher{cert: c, log: orDiscard(log)}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			w.look(now)
		}
	}
}

type watcher struct {
	cert   *Certificate
	log    *slog.Logger
	read   time.Time // when the files were read
	failed string    // what was logged of the last failure; "" after a success
}

// look reads the files if they may have changed, or are still wrong.
func (w *watcher) look(now time.Time) {
	if w.failed == "" && !w.cert.stale() && now.Sub(w.read) < readEvery {
		return
	}
	w.read = now
	changed, err := w.cert.Reload()
	if err != nil {
		if w.failed != err.Error() {
			w.log.Warn("certificate not exchanged; the old one is still used", "err", err)
		}
		w.failed = err.Error()
		return
	}
	if w.failed != "" && !changed {
		w.log.Info("certificate files are as before")
	}
	w.failed = ""
	if changed {
		leaf := w.cert.Get().Leaf
		w.log.Info("certificate exchanged", "file", w.cert.files.cert, "subject", leaf.Subject.String(), "expires", leaf.NotAfter)
	}
}

// stale reports whether the files look different from when they were read.
func (c *Certificate) stale() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen != c.files.stamp()
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
