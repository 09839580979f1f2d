package module

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"sluice/internal/workload"
	"sluice/iot"
)

// closeGrace is how long modules may take to stop when the gateway stops.
const closeGrace = 1500 * time.Millisecond

// Options configures a Runtime. Dir, RunDir, Device, Hub, Host, Workload, Keys and
// one of File and Connect are required.
type Options struct {
	Dir    string // of logs, modules' own files and the last deployment; absolute; must exist
	RunDir string // of sockets; made if it does not exist. The path of a Unix socket has about 100 characters at most

	Device     iot.Identity // the edge device
	Hub        string       // name of the hub
	Host       string       // name of the gateway, as modules connect to it
	ParentHost string       // of the gateway above, or ""
	LogLevel   string       // for modules that are not told another

	Workload *workload.API
	// Keys is that of workload.Options. A module without a generation is not started.
	Keys func(ctx context.Context, module string) (key iot.Secret, generation string, ok bool)

	// Create makes the identity of a module at the hub, if it has none; nil if
	// somebody else does. What is there is to be left as it is.
	Create func(ctx context.Context, module string) error

	// File has the deployment. If it is empty, the twin of $edgeAgent has.
	File string
	// Connect begins a session of $edgeAgent at the hub, to which modules are
	// reported. It may be nil if there is a File.
	Connect func(ctx context.Context, client iot.Client) (iot.Session, error)

	Backoff Backoff // DefaultBackoff if zero
	Log     *slog.Logger

	lookEvery time.Duration // generationEvery if zero
}

// A Runtime runs modules. Its methods may be called from any goroutine.
type Runtime struct {
	opt Options
	log *slog.Logger

	closing context.Context // ends when Run is about to
	hurry   context.CancelFunc
	began   time.Time

	apply sync.Mutex // one deployment at a time

	mu       sync.Mutex
	manifest *Manifest // nil before the first
	units    map[string]*unit
	outcome  outcome
	news     chan struct{} // closed and replaced when something has changed
}

// An outcome is what became of the last deployment.
type outcome struct {
	version int64 // of the desired properties; 0 for a file
	code    int
	text    string
}

// New makes a runtime. It starts nothing before [Runtime.Run].
func New(opt Options) (*Runtime, error) {
	switch {
	case !filepath.IsAbs(opt.Dir) || opt.RunDir == "" || opt.Hub == "" || opt.Host == "" || opt.Workload == nil || opt.Keys == nil:
		return nil, errors.New("modules: Dir, RunDir, Hub, Host, Workload and Keys are required")
	case opt.File == "" && opt.Connect == nil:
		return nil, errors.New("modules: there is neither a file nor a hub to have a deployment from")
	}
	if opt.Backoff == (Backoff{}) {
		opt.Backoff = DefaultBackoff
	}
	if opt.lookEvery == 0 {
		opt.lookEvery = generationEvery
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	opt.Dir = filepath.Clean(opt.Dir)
	r := &Runtime{opt: opt, log: opt.Log, began: time.Now(), units: map[string]*unit{}, news: make(chan struct{})}
	r.closing, r.hurry = context.WithCancel(context.Background())
	return r, nil
}

// Run runs the modules of the deployment, and of those that follow, until ctx ends.
// When it returns no module is left; it takes little more than two seconds. Run is
// called once.
func (r *Runtime) Run(ctx context.Context) error {
	if err := r.prepare(); err != nil {
		return fmt.Errorf("modules: %w", err)
	}
	var wg sync.WaitGroup
	if r.opt.File != "" {
		wg.Go(func() { r.followFile(ctx) })
	} else {
		r.resume(ctx)
	}
	// What is reported outlives the modules, to tell of their end.
	reporting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	told := make(chan struct{})
	go func() {
		defer close(told)
		if r.opt.Connect != nil {
			r.followHub(reporting)
		}
	}()
	<-ctx.Done()
	r.hurry()
	wg.Wait()
	r.stopAll()
	stop()
	<-told
	return nil
}

// prepare makes the directories, and ends what a gateway that was killed has left.
func (r *Runtime) prepare() error {
	for _, dir := range []string{filepath.Join(r.opt.Dir, "logs"), filepath.Join(r.opt.Dir, "modules"), r.opt.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	info, err := os.Stat(r.opt.RunDir)
	switch {
	case err != nil:
		return err
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("directory of sockets %s may be changed by others (mode %04o)", r.opt.RunDir, info.Mode().Perm())
	}
	n, err := killMarked(r.mark(""), false, sweepLimit)
	if n > 0 {
		r.log.Warn("modules that an earlier gateway left behind were killed", "processes", n)
	}
	return err
}

// socketPath is the file of a module's socket.
func (r *Runtime) socketPath(name string) string { return filepath.Join(r.opt.RunDir, name+".sock") }

// late is closed after a module's grace, or sooner when the gateway stops.
func (r *Runtime) late(grace time.Duration) (late <-chan struct{}, stop func()) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	hurry := context.AfterFunc(r.closing, func() { time.AfterFunc(min(grace, closeGrace), cancel) })
	return ctx.Done(), func() { hurry(); cancel() }
}

// Apply makes the modules those of a deployment: it stops those that are not in it,
// then goes through it in the order of startupOrder. It does not wait for modules
// to be ready, only for the attempts to start them; nor that when ctx has ended.
func (r *Runtime) Apply(ctx context.Context, m *Manifest) {
	r.apply.Lock()
	defer r.apply.Unlock()
	wanted := map[string]bool{}
	for _, s := range m.Modules {
		wanted[s.Name] = true
	}
	r.mu.Lock()
	var gone []*unit
	for name, u := range r.units {
		if !wanted[name] {
			gone = append(gone, u)
		}
	}
	r.manifest = m
	r.mu.Unlock()
	r.remove(gone)
	for _, s := range m.Modules {
		if ctx.Err() != nil {
			return
		}
		select {
		case <-r.set(s).tried:
		case <-ctx.Done():
		}
	}
	r.changed()
}

// set gives a module its orders.
func (r *Runtime) set(s Spec) *unit {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.units[s.Name]
	if u == nil {
		u = r.newUnit(s)
		r.units[s.Name] = u
		return u
	}
	u.order(s)
	return u
}

// remove ends units, and waits for them.
func (r *Runtime) remove(units []*unit) {
	for _, u := range units {
		u.end()
	}
	for _, u := range units {
		<-u.done
		r.log.Info("module removed", "module", u.name)
		r.mu.Lock()
		delete(r.units, u.name)
		r.mu.Unlock()
		r.changed()
	}
}

// stopAll ends all modules when the gateway stops. They remain listed, to be
// reported.
func (r *Runtime) stopAll() {
	r.apply.Lock()
	defer r.apply.Unlock()
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.units))
	r.mu.Unlock()
	for _, u := range all {
		u.end()
	}
	for _, u := range all {
		<-u.done
	}
	r.changed()
}

// changed wakes those who wait for news.
func (r *Runtime) changed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.news)
	r.news = make(chan struct{})
}

// next is closed at the next change.
func (r *Runtime) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.news
}

// List returns the modules, by name.
func (r *Runtime) List() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Status, 0, len(r.units))
	for _, name := range slices.Sorted(maps.Keys(r.units)) {
		list = append(list, r.units[name].get())
	}
	return list
}

// ErrNoModule is the answer to the name of a module that is not in the deployment.
var ErrNoModule = errors.New("there is no such module in the deployment")

func (r *Runtime) unit(name string) (*unit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u := r.units[name]; u != nil {
		return u, nil
	}
	return nil, fmt.Errorf("module %s: %w", name, ErrNoModule)
}

// Restart ends a module and starts it again, at once, and returns when a start was
// tried. It is an error for a module that the deployment wants stopped.
func (r *Runtime) Restart(ctx context.Context, name string) error {
	u, err := r.unit(name)
	if err != nil {
		return err
	}
	orders, err := u.restart()
	if err != nil {
		return err
	}
	for {
		news := r.next()
		if tried, err := u.outcome(orders); tried {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		case <-u.life.Done():
			return errStopping
		}
	}
}

var errStopping = errors.New("the module is ended: the gateway stops, or the deployment has it no more")

// Logs calls each for lines that a module wrote, as q says, until there are no more
// or ctx ends, or each fails.
func (r *Runtime) Logs(ctx context.Context, name string, q LogQuery, each func(Line) error) error {
	u, err := r.unit(name)
	if err != nil {
		return err
	}
	return u.book.read(ctx, q, each)
}
