package edge

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// roots are the authorities in some files, read again when the files change. A
// file that cannot be read then leaves what was read before.
type roots struct {
	files  []string
	system bool // the system's too
	log    *slog.Logger

	mu     sync.Mutex
	looked time.Time
	stamps []fileStamp
	pool   *x509.CertPool
	failed string // what was logged of the last failure
}

// lookEvery is how often files are looked at.
const lookEvery = 2 * time.Second

type fileStamp struct {
	size int64
	mod  time.Time
}

// openRoots reads the files; empty names are left out.
func openRoots(system bool, log *slog.Logger, files ...string) (*roots, error) {
	r := &roots{system: system, log: log}
	for _, f := range files {
		if f != "" {
			r.files = append(r.files, f)
		}
	}
	r.looked, r.stamps = time.Now(), r.stamp()
	pool, err := r.read()
	if err != nil {
		return nil, err
	}
	r.pool = pool
	return r, nil
}

// current returns the authorities as of not much more than lookEvery ago, in a
// pool that is the same until they change.
func (r *roots) current() *x509.CertPool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.looked) < lookEvery {
		return r.pool
	}
	r.looked = now
	stamps := r.stamp()
	if same(stamps, r.stamps) && r.failed == "" {
		return r.pool
	}
	r.stamps = stamps
	r.renew()
	return r.pool
}

// renew reads the files again. r.mu is held.
func (r *roots) renew() {
	pool, err := r.read()
	if err != nil {
		if r.failed != err.Error() {
			r.log.Warn("trusted authorities not read again; the old ones are still used", "err", err)
		}
		r.failed = err.Error()
		return
	}
	r.failed = ""
	if !pool.Equal(r.pool) {
		r.log.Info("trusted authorities read again", "files", r.files)
		r.pool = pool
	}
}

// read returns nil if there is nothing to trust.
func (r *roots) read() (*x509.CertPool, error) {
	if len(r.files) == 0 && !r.system {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if r.system {
		if p, err := x509.SystemCertPool(); err == nil {
			pool = p
		} else if len(r.files) == 0 {
			return nil, fmt.Errorf("the system's trusted authorities: %w", err)
		}
	}
	for _, f := range r.files {
		if err := addFile(pool, f); err != nil {
			return nil, err
		}
	}
	return pool, nil
}

func addFile(pool *x509.CertPool, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("trusted authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("trusted authorities: %w", errors.New(file+" holds no certificate in PEM"))
	}
	return nil
}

func (r *roots) stamp() []fileStamp {
	s := make([]fileStamp, len(r.files))
	for i, f := range r.files {
		if info, err := os.Stat(f); err == nil {
			s[i] = fileStamp{info.Size(), info.ModTime()}
		}
	}
	return s
}

func same(a, b []fileStamp) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
