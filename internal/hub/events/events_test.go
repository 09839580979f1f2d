package events

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/hub/eventlog"
	"sluice/internal/hubevent"
	"sluice/iot"
)

func serve(t *testing.T) (*eventlog.Log, string) {
	t.Helper()
	log, err := eventlog.Open("log", eventlog.Options{FS: vfs.NewMem(), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(New(log))
	t.Cleanup(func() {
		server.Close()
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log, server.URL
}

func store(t *testing.T, log *eventlog.Log, id iot.Identity, bodies ...string) {
	t.Helper()
	batch := make([]iot.Message, len(bodies))
	for i, b := range bodies {
		batch[i] = iot.Message{Body: []byte(b)}
		batch[i].Stamp(id)
	}
	done := make(chan error, 1)
	log.Append(id, batch, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url string) (lines []string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		var refusal struct{ Message string }
		if err := json.Unmarshal(body, &refusal); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		_, text, _ := strings.Cut(refusal.Message, ";")
		return []string{fmt.Sprint(resp.StatusCode, " ", text)}
	}
	for line := range strings.Lines(string(body)) {
		if strings.TrimSpace(line) != "" {
			var e hubevent.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			lines = append(lines, e.Device+" "+e.Text())
		}
	}
	return lines
}

func TestWhatIsStoredIsRead(t *testing.T) {
	log, url := serve(t)
	a, b := iot.DeviceIdentity("a"), iot.ModuleIdentity("b", "m")
	store(t, log, a, "1", "2", "3")
	store(t, log, b, "x")
	pa := log.PartitionOf(a)
	for query, want := range map[string][]string{
		"from=start&device=a&follow=false":                 {"a 1", "a 2", "a 3"},
		"from=start&device=b&follow=false":                 {"b x"},
		fmt.Sprintf("from=%d:1&device=a&follow=false", pa): {"a 2", "a 3"},
		"follow=false": nil,
		fmt.Sprintf("from=start&device=b&partition=%d&follow=false", log.PartitionOf(b)): {"b x"},
		"from=2000-01-01T00:00:00Z&device=a&follow=false":                                {"a 1", "a 2", "a 3"},
		"from=yesterday": {`400 from is "yesterday": it must be start, latest, a time such as 2026-01-02T15:04:05Z, or partition:sequence,…`},
		"partition=99":   {`400 partition is "99": there are 0 to 3`},
		"from=9:0":       {"400 from names partition 9: there are 0 to 3"},
		"follow=perhaps": {`400 follow is "perhaps": it must be true or false`},
	} {
		t.Run(query, func(t *testing.T) {
			if diff := cmp.Diff(want, get(t, url+"?"+query)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAFollowerSeesWhatComes(t *testing.T) {
	log, url := serve(t)
	store(t, log, iot.DeviceIdentity("a"), "before")
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // given up
	store(t, log, iot.DeviceIdentity("a"), "after")
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(line, "before") || !strings.Contains(line, `"body":"after"`) {
		t.Errorf("the first line is %s", line)
	}
}
