package files

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/dbtest"
	"sluice/internal/hub/blob"
	"sluice/internal/hub/blob/blobtest"
	"sluice/internal/hub/code"
	"sluice/internal/hub/documents"
	"sluice/iot"
)

// A fixture is a store of which the clock is the test's.
type fixture struct {
	*Store
	t     *testing.T
	blobs *blobtest.Store
	ahead time.Duration
}

func open(t *testing.T, fs vfs.FS, blobs *blobtest.Store) *fixture {
	t.Helper()
	db := dbtest.Open(t, fs)
	account, err := blob.ParseAccount(blobs.Account())
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, blobs: blobs}
	f.Store, err = Open(documents.New(db), Options{Account: account, Now: func() time.Time { return time.Now().Add(f.ahead) }})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) begin(device, name string) iot.Upload {
	f.t.Helper()
	u, err := f.Begin(context.Background(), device, "1", name)
	if err != nil {
		f.t.Fatal(err)
	}
	return u
}

// put writes the file of an upload, as a device would.
func (f *fixture) put(u iot.Upload, content string) {
	f.t.Helper()
	at := fmt.Sprintf("http://%s/%s/%s%s", u.Host, u.Container, u.Blob, u.Token.Reveal())
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPut, at, strings.NewReader(content))
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = resp.Body.Close() // empty
	if resp.StatusCode != http.StatusCreated {
		f.t.Fatal(resp.Status)
	}
}

func (f *fixture) end(device string, u iot.Upload, success bool) error {
	return f.End(context.Background(), device, "1", iot.UploadResult{ID: u.ID, Success: success})
}

// told returns the notifications that wait, and takes them.
func (f *fixture) told() (all []Notification) {
	lease, _ := f.Notifications.Take(100)
	if lease != nil {
		all = lease.Records
		lease.Settle(true)
	}
	return all
}

func expect(t *testing.T, what string, err error, want code.Code) {
	t.Helper()
	if err == nil || code.Of(err) != want {
		t.Errorf("%s: error %v, want code %d", what, err, want)
	}
}

func TestD2_UploadsAndNotificationsSurviveAPowerCut(t *testing.T) {
	fs, blobs := vfs.NewCrashableMem(), blobtest.New(t)
	f := open(t, fs, blobs)
	first, second := f.begin("pump", "a/1.txt"), f.begin("pump", "2.txt")
	f.put(first, "hello")
	if err := f.end("pump", first, true); err != nil {
		t.Fatal(err)
	}

	again := open(t, fs.CrashClone(vfs.CrashCloneCfg{}), blobs)
	all := again.told()
	if len(all) != 1 || all[0].DeviceID != "pump" || all[0].BlobName != "pump/a/1.txt" || all[0].Size != 5 ||
		!strings.HasSuffix(all[0].BlobURI, "/account/uploads/pump/a/1.txt") {
		t.Errorf("told %+v", all)
	}
	expect(t, "ended again", again.end("pump", first, true), code.UnknownUpload)
	again.put(second, "")
	if err := again.end("pump", second, true); err != nil {
		t.Error(err)
	}
}

func TestOfWhatFailedNobodyIsTold(t *testing.T) {
	f := open(t, vfs.NewMem(), blobtest.New(t))
	u := f.begin("pump", "x")
	expect(t, "a file that is not there", f.end("pump", u, true), code.InvalidStorage)
	f.blobs.Fail(http.StatusServiceUnavailable)
	if err := f.end("pump", u, true); iot.KindOf(err) != iot.Unavailable {
		t.Errorf("a store that is ill: %v", err)
	}
	f.blobs.Fail(0)
	if err := f.end("pump", u, false); err != nil {
		t.Error(err)
	}
	if all := f.told(); len(all) > 0 {
		t.Errorf("told %+v", all)
	}
}

func TestAnUploadIsItsDevicesAlone(t *testing.T) {
	f := open(t, vfs.NewMem(), blobtest.New(t))
	u := f.begin("pump", "x")
	f.put(u, "x")
	expect(t, "another device", f.end("valve", u, true), code.UnknownUpload)
	expect(t, "the device, registered anew", f.End(t.Context(), "pump", "2", iot.UploadResult{ID: u.ID, Success: true}), code.UnknownUpload)
	expect(t, "no id", f.end("pump", iot.Upload{}, true), code.ArgumentNull)
	expect(t, "a made-up id", f.end("pump", iot.Upload{ID: "MjAy"}, true), code.UnknownUpload)
	if err := f.Forget("pump"); err != nil {
		t.Fatal(err)
	}
	expect(t, "after the device was deleted", f.end("pump", u, true), code.UnknownUpload)
}

func TestADeviceHasTenUploadsAtMost(t *testing.T) {
	f := open(t, vfs.NewMem(), blobtest.New(t))
	var last iot.Upload
	for n := range MaxActive {
		last = f.begin("pump", fmt.Sprint(n))
	}
	_, err := f.Begin(t.Context(), "pump", "1", "more")
	expect(t, "one too many", err, code.TooManyUploads)
	f.begin("valve", "of another device")
	if err := f.end("pump", last, false); err != nil {
		t.Fatal(err)
	}
	last = f.begin("pump", "in its place")

	f.ahead = DefaultTTL + time.Second
	expect(t, "after its address has expired", f.end("pump", last, true), code.ExpiredUpload)
	f.begin("pump", "when all have expired")
	f.expire()
	if n := len(f.uploads["pump"]); n != 1 || len(f.uploads) != 1 {
		t.Errorf("%d uploads are kept of %d devices", n, len(f.uploads))
	}
	expect(t, "when it is forgotten", f.end("pump", last, true), code.ExpiredUpload)
}

func TestNamesThatNoBlobHas(t *testing.T) {
	f := open(t, vfs.NewMem(), blobtest.New(t))
	for name, want := range map[string]code.Code{
		"":                        code.ArgumentNull,
		"../valve/x":              code.ArgumentInvalid,
		"a/./b":                   code.ArgumentInvalid,
		"a\nb":                    code.ArgumentInvalid,
		"a\xff":                   code.ArgumentInvalid,
		strings.Repeat("x", 1020): code.ArgumentInvalid,
	} {
		_, err := f.Begin(t.Context(), "pump", "1", name)
		expect(t, fmt.Sprintf("%.20q", name), err, want)
	}
	f.put(f.begin("pump", "Ünter/…/a..b"), "x")
}

func TestAContainerThatIsGoneIsMadeAgain(t *testing.T) {
	f := open(t, vfs.NewMem(), blobtest.New(t))
	f.blobs.Fail(http.StatusForbidden)
	_, err := f.Begin(t.Context(), "pump", "1", "x")
	expect(t, "a store that refuses", err, code.InvalidStorage)
	f.blobs.Fail(0)
	u := f.begin("pump", "x")
	f.put(u, "x")
}
