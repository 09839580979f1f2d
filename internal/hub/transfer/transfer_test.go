package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/dbtest"
	"sluice/internal/hub/blob"
	"sluice/internal/hub/blob/blobtest"
	"sluice/internal/hub/code"
	"sluice/internal/hub/documents"
	"sluice/internal/service"
)

// A fixture is a store with a container, m, for what it moves.
type fixture struct {
	*Store
	t     *testing.T
	blobs *blobtest.Store
	at    string // address of the container
}

func open(t *testing.T, fs vfs.FS) *fixture {
	t.Helper()
	db := dbtest.Open(t, fs)
	f := &fixture{t: t, blobs: blobtest.New(t)}
	f.blobs.Make("m")
	account, err := blob.ParseAccount(f.blobs.Account())
	if err != nil {
		t.Fatal(err)
	}
	f.at = account.Endpoint.String() + "/m?" + account.SignContainer("m", blob.All, time.Now().Add(time.Hour))
	if f.Store, err = Open(documents.New(db), Options{}); err != nil {
		t.Fatal(err)
	}
	return f
}

// run runs jobs until what it returns is called.
func (f *fixture) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { f.Run(ctx) })
	return func() {
		cancel()
		group.Wait()
	}
}

func (f *fixture) create(kind string, of Identities) service.RegistryJob {
	f.t.Helper()
	j, err := f.Create(service.RegistryJob{Type: kind, InputContainer: f.at, OutputContainer: f.at}, of)
	if err != nil {
		f.t.Fatal(err)
	}
	return j
}

// ended waits for the end of a job.
func (f *fixture) ended(id string) service.RegistryJob {
	f.t.Helper()
	f.mu.Lock()
	over := f.jobs[id].over
	f.mu.Unlock()
	select {
	case <-over:
	case <-time.After(time.Minute):
		f.t.Fatal("the job does not end")
	}
	j, err := f.Get(id)
	if err != nil {
		f.t.Error(err)
	}
	return j
}

// fake identities are numbers.
type fake struct {
	n        int
	got      [][]byte
	err      error         // of Import
	largest  int           // batch
	began    chan struct{} // closed by the first line; nil: not
	carryOn  chan struct{} // waited for then
	released sync.Once
}

func (k *fake) Count() int { return k.n }

func (k *fake) Export(bool, func([]byte) error) error { panic("replaced") }

func (k *fake) pause() {
	if k.began != nil {
		k.released.Do(func() { close(k.began) })
		<-k.carryOn
	}
}

type exporter struct{ *fake }

func (k exporter) Export(_ bool, line func([]byte) error) error {
	for n := range k.n {
		k.pause()
		if err := line(fmt.Appendf(nil, `{"id":"%d"}`, n)); err != nil {
			return err
		}
	}
	return nil
}

func (k *fake) Import(lines [][]byte) (wrong []service.BulkError, err error) {
	k.pause()
	k.largest = max(k.largest, len(lines))
	for _, line := range lines {
		k.got = append(k.got, bytes.Clone(line))
		if bytes.Contains(line, []byte("bad")) {
			wrong = append(wrong, service.BulkError{DeviceID: "bad", ErrorCode: "DeviceAlreadyExists"})
		}
	}
	return wrong, k.err
}

func TestWhatIsExportedIsImportedLineByLine(t *testing.T) {
	f := open(t, vfs.NewMem())
	defer f.run()()
	const n = 100_000
	if j := f.ended(f.create(Export, exporter{&fake{n: n}}).JobID); j.Status != completed || j.Progress != 100 {
		t.Fatalf("%+v", j)
	}
	k := &fake{}
	if j := f.ended(f.create(Import, k).JobID); j.Status != completed {
		t.Fatalf("%+v", j)
	}
	if len(k.got) != n || string(k.got[n-1]) != `{"id":"99999"}` || k.largest != batch {
		t.Errorf("%d lines came, in batches of %d", len(k.got), k.largest)
	}
	if log, ok := f.blobs.Get("m", "importErrors.log"); !ok || len(log) > 0 {
		t.Errorf("the log is %q, %v", log, ok)
	}
}

func TestAnImportGoesOnAfterALineThatIsWrong(t *testing.T) {
	f := open(t, vfs.NewMem())
	defer f.run()()
	f.blobs.Put("m", "devices.txt", []byte("\ufeff{\"id\":\"a\"}\r\n\r\n  bad \n{\"id\":\"b\"}"))
	k := &fake{}
	j := f.ended(f.create(Import, k).JobID)
	log, _ := f.blobs.Get("m", "importErrors.log")
	if got := fmt.Sprintf("%s", k.got); j.Status != completed || got != `[{"id":"a"} bad {"id":"b"}]` || !strings.HasPrefix(string(log), `{"deviceId":"bad"`) {
		t.Errorf("%s: %s, log %s", j.Status, got, log)
	}
}

func TestAJobFailsAndSaysWhy(t *testing.T) {
	f := open(t, vfs.NewMem())
	defer f.run()()
	for name, c := range map[string]struct {
		blob string
		err  error
		want string
	}{
		"nothing there": {"", nil, "BlobNotFound"},
		"a long line":   {strings.Repeat("x", maxLine+1), nil, "longer than"},
		"a disk":        {"x", errors.New("disk"), "disk"},
	} {
		if c.blob != "" {
			f.blobs.Put("m", "devices.txt", []byte(c.blob))
		} else {
			f.blobs.Make("m")
		}
		if j := f.ended(f.create(Import, &fake{err: c.err}).JobID); j.Status != failed || !strings.Contains(j.FailureReason, c.want) {
			t.Errorf("%s: %+v", name, j)
		}
	}
}

func TestThereIsOneJobAtATimeWhichCanBeCancelled(t *testing.T) {
	f := open(t, vfs.NewMem())
	defer f.run()()
	k := &fake{n: 10, began: make(chan struct{}), carryOn: make(chan struct{})}
	j := f.create(Export, exporter{k})
	<-k.began
	if _, err := f.Create(service.RegistryJob{Type: Export, OutputContainer: f.at}, k); code.Of(err) != code.JobQuotaExceeded {
		t.Errorf("a second job: %v", err)
	}
	if j, err := f.Cancel(j.JobID); err != nil || j.Status != cancelled {
		t.Errorf("%+v, %v", j, err)
	}
	close(k.carryOn)
	f.ended(f.create(Export, exporter{&fake{n: 1}}).JobID) // which runs when the first has stopped
	if got, _ := f.blobs.Get("m", "devices.txt"); string(got) != "{\"id\":\"0\"}\n" {
		t.Errorf("the blob is %q", got)
	}
	if j, err := f.Cancel(j.JobID); err != nil || j.Status != cancelled {
		t.Errorf("cancelled again: %+v, %v", j, err)
	}
	if _, err := f.Cancel("nothing"); code.Of(err) != code.JobNotFound {
		t.Error(err)
	}
	if list := f.List(); len(list) != 2 || list[0].JobID != j.JobID {
		t.Errorf("%+v", list)
	}
}

func TestD2_AJobThatAKillEndsHasFailed(t *testing.T) {
	fs := vfs.NewCrashableMem()
	f := open(t, fs)
	stop := f.run()
	k := &fake{n: 10, began: make(chan struct{}), carryOn: make(chan struct{})}
	j := f.create(Export, exporter{k})
	<-k.began
	again := open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	if got, err := again.Get(j.JobID); err != nil || got.Status != failed || got.FailureReason == "" || got.EndTime == nil {
		t.Errorf("%+v, %v", got, err)
	}
	again.create(Export, exporter{&fake{n: 1}})
	close(k.carryOn)
	stop()
}

func TestJobsThatCannotBe(t *testing.T) {
	f := open(t, vfs.NewMem())
	for name, c := range map[string]struct {
		form service.RegistryJob
		want code.Code
	}{
		"no type":      {service.RegistryJob{OutputContainer: f.at}, code.ArgumentInvalid},
		"no container": {service.RegistryJob{Type: Export}, code.BlobContainerInvalid},
		"no input":     {service.RegistryJob{Type: Import, OutputContainer: f.at}, code.BlobContainerInvalid},
		"an identity":  {service.RegistryJob{Type: Export, OutputContainer: f.at, StorageAuthentication: "IdentityBased"}, code.ArgumentInvalid},
	} {
		if _, err := f.Create(c.form, nil); code.Of(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzBatches(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n \xef\xbb\xbfc"))
	f.Fuzz(func(t *testing.T, text []byte) {
		n := 0
		err := batches(bytes.NewReader(text), func(lines [][]byte) error {
			for _, line := range lines {
				if n++; len(line) == 0 || bytes.ContainsRune(line, '\n') {
					t.Errorf("line %q", line)
				}
			}
			return nil
		})
		if err != nil || n > bytes.Count(text, []byte("\n"))+1 {
			t.Errorf("%d lines of %q, %v", n, text, err)
		}
	})
}
