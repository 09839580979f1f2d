package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sluice/internal/await"
	"sluice/internal/dbtest"
	"sluice/internal/hub/code"
	"sluice/internal/hub/documents"
	"sluice/internal/hub/query"
	"sluice/internal/service"
	"sluice/internal/twin"
	"sluice/iot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fleet is devices that do as they are told.
type fleet struct {
	ids    []iot.Identity
	invoke func(ctx context.Context, id iot.Identity) (iot.MethodResult, error) // nil: answers its id

	mu      sync.Mutex
	dark    bool // the power is off: what happens now never did
	invoked map[iot.Identity]int
	patched map[iot.Identity]int
}

func newFleet(n int) *fleet {
	f := &fleet{invoked: map[iot.Identity]int{}, patched: map[iot.Identity]int{}}
	for i := range n {
		f.ids = append(f.ids, iot.DeviceIdentity(fmt.Sprintf("d%04d", i)))
	}
	return f
}

func (f *fleet) Matching(ctx context.Context, _ *query.Query, visit func(iot.Identity) error) error {
	for _, id := range f.ids {
		if err := errors.Join(ctx.Err(), visit(id)); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) InvokeMethod(ctx context.Context, id iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	f.mu.Lock()
	if !f.dark {
		f.invoked[id]++
	}
	f.mu.Unlock()
	if f.invoke != nil {
		return f.invoke(ctx, id)
	}
	return iot.MethodResult{Status: 200, Payload: json.RawMessage(fmt.Sprintf("%q", call.Name+id.Device))}, nil
}

func (f *fleet) PatchTwin(id iot.Identity, _ json.RawMessage, ifMatch string) (twin.Twin, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dark {
		f.patched[id]++
	}
	if ifMatch != "" && ifMatch != "*" {
		return twin.Twin{}, code.Errorf(code.PreconditionFailed, "twin", id, "changed")
	}
	return twin.Twin{}, nil
}

// A world is a store on a disk that may lose power.
type world struct {
	*testing.T
	*Store
	fs *vfs.MemFS
}

func openWorld(t *testing.T, fs *vfs.MemFS) *world {
	t.Helper()
	s, err := Open(documents.New(dbtest.Open(t, fs)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, s, fs}
}

// start runs jobs until stop is called.
func (w *world) start(devices Devices) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Store.Run(ctx, devices)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (w *world) create(id, body string) service.Job {
	w.Helper()
	j := service.Job{JobID: id, QueryCondition: "*"}
	if err := json.Unmarshal([]byte(body), &j); err != nil {
		w.Fatal(err)
	}
	j, err := w.Create(j)
	if err != nil {
		w.Fatal(err)
	}
	return j
}

const (
	reboot = `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot"}}`
	tag    = `{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":1}}}`
)

// ended waits until a job has ended.
func (w *world) ended(id string) service.Job {
	w.Helper()
	var j service.Job
	await.Success(w, "job "+id+" ends", func() (err error) {
		if j, err = w.Get(id); err == nil && !j.Ended() {
			err = fmt.Errorf("it is %s", j.Status)
		}
		return err
	})
	return j
}

// rows are the devices of all jobs, as queries see them.
func (w *world) rows() map[string]string {
	w.Helper()
	all := map[string]string{}
	err := w.Rows("", func(_ string, r query.Row) (bool, error) {
		text, err := r.JSON()
		var d service.DeviceJob
		if err := errors.Join(err, json.Unmarshal(text, &d)); err != nil {
			return false, err
		}
		all[d.JobID+" "+d.DeviceID] = d.Status
		return true, err
	})
	if err != nil {
		w.Fatal(err)
	}
	return all
}

func TestAJobServesEachDeviceOnce(t *testing.T) {
	w := openWorld(t, vfs.NewMem())
	f := newFleet(2*chunkSize + 7)
	stop := w.start(f)
	defer stop()
	w.create("methods", reboot)
	w.create("twins", tag)
	for _, id := range []string{"methods", "twins"} {
		j := w.ended(id)
		want := service.JobStatistics{Devices: len(f.ids), Succeeded: len(f.ids)}
		if j.Status != service.JobCompleted || *j.Statistics != want || j.EndTime == nil {
			t.Errorf("%s is %s with %+v", id, j.Status, j.Statistics)
		}
	}
	for _, id := range f.ids {
		if f.invoked[id] != 1 || f.patched[id] != 1 {
			t.Errorf("%s: called %d times, changed %d times", id, f.invoked[id], f.patched[id])
		}
	}
	rows := w.rows()
	if len(rows) != 2*len(f.ids) || rows["methods d0000"] != completed {
		t.Errorf("%d rows", len(rows))
	}
}

func TestWhatFailsForOneDeviceIsWrittenDown(t *testing.T) {
	w := openWorld(t, vfs.NewMem())
	f := newFleet(3)
	f.invoke = func(_ context.Context, id iot.Identity) (iot.MethodResult, error) {
		if id.Device == "d0001" {
			return iot.MethodResult{}, code.Errorf(code.DeviceNotOnline, "method", id, "away")
		}
		return iot.MethodResult{Status: 201}, nil
	}
	stop := w.start(f)
	defer stop()
	w.create("j", reboot)
	if j := w.ended("j"); *j.Statistics != (service.JobStatistics{Devices: 3, Succeeded: 2, Failed: 1}) || j.Status != service.JobCompleted {
		t.Errorf("%s with %+v", j.Status, j.Statistics)
	}
	var got []service.DeviceJob
	lower, upper := devicesOf("j")
	got, _, err := w.read(lower, upper, 10, completed, failed)
	if err != nil {
		t.Fatal(err)
	}
	want := &service.DeviceJobError{Code: "404103", Description: "away"}
	if diff := cmp.Diff(want, got[1].Error); diff != "" || got[0].Outcome == nil || got[0].Outcome.Method.Status != 201 {
		t.Errorf("rows %+v: %s", got, diff)
	}
}

// Whatever of a job had been stored when the power went, each device is served, a
// method never twice.
func TestAJobGoesOnAfterAPowerCut(t *testing.T) {
	for _, kind := range []string{reboot, tag} {
		t.Run(kind[9:27], func(t *testing.T) {
			w := openWorld(t, vfs.NewCrashableMem())
			f := newFleet(chunkSize + 9)
			var once sync.Once
			var after *vfs.MemFS
			cut := func() {
				once.Do(func() {
					f.mu.Lock()
					defer f.mu.Unlock()
					f.dark, after = true, w.fs.CrashClone(vfs.CrashCloneCfg{})
				})
			}
			f.invoke = func(_ context.Context, id iot.Identity) (iot.MethodResult, error) {
				if id.Device == "d0100" {
					cut()
				}
				return iot.MethodResult{Status: 200}, nil
			}
			stop := w.start(&cutting{f, cut})
			w.create("j", kind)
			w.ended("j")
			stop()

			w = openWorld(t, after)
			second := newFleet(len(f.ids))
			stop = w.start(second)
			defer stop()
			j := w.ended("j")
			n := j.Statistics
			if j.Status != service.JobCompleted || n.Succeeded+n.Failed != len(f.ids) || n.Pending+n.Running != 0 {
				t.Errorf("after the cut it is %s with %+v", j.Status, n)
			}
			for _, id := range f.ids {
				if f.invoked[id]+second.invoked[id] > 1 {
					t.Errorf("the method of %s was called twice", id)
				}
				if kind == tag && f.patched[id]+second.patched[id] == 0 {
					t.Errorf("the twin of %s was not changed", id)
				}
			}
			if kind == reboot && n.Failed != chunkSize {
				t.Errorf("%d methods are in doubt, want %d", n.Failed, chunkSize)
			}
		})
	}
}

// cutting cuts the power when the twin of a device is changed.
type cutting struct {
	*fleet
	cut func()
}

func (c *cutting) PatchTwin(id iot.Identity, patch json.RawMessage, ifMatch string) (twin.Twin, error) {
	if id.Device == "d0100" {
		c.cut()
	}
	return c.fleet.PatchTwin(id, patch, ifMatch)
}

func TestACancelledJobEnds(t *testing.T) {
	w := openWorld(t, vfs.NewMem())
	f := newFleet(chunkSize + 50)
	called := make(chan struct{}, len(f.ids))
	f.invoke = func(ctx context.Context, id iot.Identity) (iot.MethodResult, error) {
		called <- struct{}{}
		<-ctx.Done() // a device that never answers
		return iot.MethodResult{}, code.Errorf(code.GatewayTimeout, "method", id, "no answer")
	}
	stop := w.start(f)
	defer stop()
	w.create("j", reboot)
	<-called
	j, err := w.Cancel("j")
	if err != nil || j.Status != service.JobCancelled {
		t.Fatalf("%s, %v", j.Status, err)
	}
	w.create("later", tag)
	w.ended("later") // Run has gone on
	if _, err := w.Cancel("j"); !errors.Is(err, code.InvalidOperation) {
		t.Errorf("cancelled again: %v", err)
	}
	if _, err := w.Cancel("nothing"); !errors.Is(err, code.JobNotFound) {
		t.Errorf("cancelled nothing: %v", err)
	}
}

func TestACancelledJobIsAtItsEndAfterAPowerCut(t *testing.T) {
	w := openWorld(t, vfs.NewCrashableMem())
	f := newFleet(chunkSize + 5)
	called := make(chan struct{}, len(f.ids))
	f.invoke = func(ctx context.Context, id iot.Identity) (iot.MethodResult, error) {
		called <- struct{}{}
		<-ctx.Done()
		return iot.MethodResult{}, code.Errorf(code.GatewayTimeout, "method", id, "no answer")
	}
	stop := w.start(f)
	w.create("j", reboot)
	<-called
	if _, err := w.Cancel("j"); err != nil {
		t.Fatal(err)
	}
	after := w.fs.CrashClone(vfs.CrashCloneCfg{})
	stop()
	w = openWorld(t, after)
	j, err := w.Get("j")
	if err != nil || j.Status != service.JobCancelled || j.Statistics.Pending+j.Statistics.Running != 0 {
		t.Errorf("after the cut it is %s with %+v, %v", j.Status, j.Statistics, err)
	}
	for key, status := range w.rows() {
		if status == pending || status == running {
			t.Errorf("%s is %s for ever", key, status)
		}
	}
}

func TestAJobWaitsForItsStartAndTakesNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := openWorld(t, vfs.NewMem())
		f := newFleet(5)
		f.invoke = func(ctx context.Context, id iot.Identity) (iot.MethodResult, error) {
			<-ctx.Done()
			return iot.MethodResult{}, code.Errorf(code.GatewayTimeout, "method", id, "no answer")
		}
		stop := w.start(f)
		start := time.Now().Add(3 * time.Hour)
		var j service.Job
		if err := json.Unmarshal([]byte(reboot), &j); err != nil {
			t.Fatal(err)
		}
		j.JobID, j.QueryCondition, j.StartTime, j.MaxExecutionTime = "j", "*", service.Time{Time: start}, 60
		created, err := w.Create(j)
		if err != nil || created.Status != service.JobQueued {
			t.Fatalf("%s, %v", created.Status, err)
		}
		time.Sleep(3*time.Hour - time.Minute)
		synctest.Wait()
		if got, _ := w.Get("j"); got.Status != service.JobScheduled {
			t.Errorf("before its time it is %s", got.Status)
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if got, _ := w.Get("j"); got.Status != service.JobRunning || got.Statistics.Running != 5 {
			t.Errorf("at its time it is %s with %+v", got.Status, got.Statistics)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, _ := w.Get("j"); got.Status != service.JobFailed || got.Statistics.Failed != 5 || got.FailureReason == "" {
			t.Errorf("after its time it is %s with %+v, %q", got.Status, got.Statistics, got.FailureReason)
		}
		stop()
	})
}

func TestJobsThatCannotBe(t *testing.T) {
	w := openWorld(t, vfs.NewMem())
	for _, tt := range []struct {
		name, body string
		want       code.Code
	}{
		{"no condition", `{"queryCondition":"","type":"scheduleUpdateTwin","updateTwin":{}}`, code.ArgumentNull},
		{"a wrong condition", `{"queryCondition":"tags.a =","type":"scheduleUpdateTwin","updateTwin":{}}`, code.ArgumentInvalid},
		{"more than a condition", `{"queryCondition":"tags.a = 1 GROUP BY tags.a","type":"scheduleUpdateTwin","updateTwin":{}}`, code.ArgumentInvalid},
		{"no type", `{"updateTwin":{}}`, code.ArgumentInvalid},
		{"no method", `{"type":"scheduleDeviceMethod"}`, code.ArgumentNull},
		{"a timeout too long", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"a","responseTimeoutInSeconds":301}}`, code.ArgumentInvalid},
		{"no twin", `{"type":"scheduleUpdateTwin"}`, code.ArgumentNull},
		{"a wrong twin", `{"type":"scheduleUpdateTwin","updateTwin":{"tags":{"a b":1}}}`, code.ArgumentInvalid},
		{"no twin but a number", `{"type":"scheduleUpdateTwin","updateTwin":7}`, code.ArgumentInvalid},
		{"too long", `{"type":"scheduleUpdateTwin","updateTwin":{},"maxExecutionTimeInSeconds":9999999}`, code.ArgumentInvalid},
		{"a bad id", `{"jobId":"a/b","type":"scheduleUpdateTwin","updateTwin":{}}`, code.ArgumentInvalid},
	} {
		j := service.Job{JobID: "j", QueryCondition: "*"}
		if err := json.Unmarshal([]byte(tt.body), &j); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Create(j); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	w.create("j", tag)
	if _, err := w.Create(service.Job{JobID: "j", QueryCondition: "*", Type: service.JobTwin, UpdateTwin: json.RawMessage(`{}`)}); !errors.Is(err, code.JobAlreadyExists) {
		t.Errorf("made again: %v", err)
	}
}

func TestJobsThatEndedAreKeptForAWhile(t *testing.T) {
	w := openWorld(t, vfs.NewMem())
	for i := range MaxEnded + 3 {
		id := fmt.Sprintf("j%05d", i)
		w.create(id, tag)
		if _, err := w.Cancel(id); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.List("", "", "", MaxEnded+10)); n != MaxEnded {
		t.Errorf("%d jobs are kept, want %d", n, MaxEnded)
	}
	if _, err := w.Get("j00000"); !errors.Is(err, code.JobNotFound) {
		t.Errorf("the oldest: %v", err)
	}
	for i := range MaxActive {
		w.create(fmt.Sprintf("a%05d", i), tag)
	}
	if _, err := w.Create(service.Job{JobID: "x", QueryCondition: "*", Type: service.JobTwin, UpdateTwin: json.RawMessage(`{}`)}); !errors.Is(err, code.TooManyActiveJobs) {
		t.Errorf("one too many: %v", err)
	}
}
