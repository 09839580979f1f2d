package spool

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// checkEvery bounds how often the disk's free space is asked for, and so how
// late the store notices that space has returned.
const checkEvery = 100 * time.Millisecond

// A space watches the disk's free space, and keeps some aside: a ballast that is
// given up when a write finds none, so that draining, which needs a little space
// before it frees any, can go on.
type space struct {
	fs      vfs.FS // without the disk.FS around it
	dir     string
	log     *slog.Logger
	minFree int64
	ballast int64 // size; 0 none

	short atomic.Bool // refusing

	mu      sync.Mutex
	checked time.Time
	laden   bool // the ballast is there
	given   bool // the ballast was given up: its space is for draining, and then for it
}

// low reports whether appends are to be refused. The writer calls it.
func (sp *space) low() bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if now := time.Now(); now.Sub(sp.checked) >= checkEvery {
		sp.checked = now
		sp.judge()
	}
	return sp.short.Load()
}

// judge looks at the disk. mu is held.
func (sp *space) judge() {
	limit := max(0, sp.minFree)
	if sp.given {
		limit += sp.ballast
	}
	if limit == 0 {
		sp.short.Store(false)
		return
	}
	usage, err := sp.fs.GetDiskUsage(sp.dir)
	if err != nil {
		sp.short.Store(false) // cannot know: the write itself will tell
		return
	}
	short := usage.AvailBytes < uint64(limit)
	if short != sp.short.Swap(short) {
		sp.log.Warn("spool: free space on disk", "dir", sp.dir, "refusing", short,
			"free", usage.AvailBytes, "limit", limit)
	}
}

// spent is called when a write found no space. It gives up the ballast.
func (sp *space) spent() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.checked = time.Now()
	if !sp.short.Swap(true) {
		sp.log.Warn("spool: no space left on disk, refusing", "dir", sp.dir)
	}
	if sp.laden {
		sp.laden, sp.given = false, true
		_ = sp.fs.Remove(sp.ballastName()) // if it cannot be removed, it does not help
	}
}

// find learns whether the ballast is there, before anything needs it: a store that is
// opened on a full disk has it to give up.
func (sp *space) find() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	info, err := sp.fs.Stat(sp.ballastName())
	sp.laden = err == nil && sp.ballast > 0 && info.Size() == sp.ballast
}

// restore puts the ballast back when there is ample space again. The keeper
// calls it, and Open.
func (sp *space) restore() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.laden || sp.ballast <= 0 {
		return
	}
	usage, err := sp.fs.GetDiskUsage(sp.dir)
	if err != nil || usage.AvailBytes < uint64(2*max(0, sp.minFree)+2*sp.ballast) {
		return
	}
	if err := sp.load(); err != nil {
		sp.log.Warn("spool: ballast", "dir", sp.dir, "error", err)
		return
	}
	sp.laden, sp.given = true, false
}

// load writes the ballast. Zeros are written, not a hole: it must hold real
// blocks.
func (sp *space) load() error {
	f, err := sp.fs.Create(sp.ballastName(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for n := int64(0); n < sp.ballast && err == nil; n += int64(len(zeros)) {
		_, err = f.Write(zeros)
	}
	if err := f.Close(); err != nil {
		return err
	}
	return err
}

func (sp *space) ballastName() string { return sp.fs.PathJoin(sp.dir, "BALLAST") }
