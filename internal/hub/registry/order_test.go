package registry

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// Whatever is created and deleted between looks, lists are those of what is there.
func TestListsFollowWhatIsThere(t *testing.T) {
	s := open(t)
	random := rand.New(rand.NewPCG(1, 2))
	there := map[string]bool{}
	for range 400 {
		id := "d" + strconv.Itoa(random.IntN(60))
		var e storage.Entry
		e.Identity, e.Enabled, e.Edge = iot.DeviceIdentity(id), true, random.IntN(3) == 0
		var err error
		switch {
		case !there[id]:
			_, err = s.Create(e)
			there[id] = true
		case random.IntN(2) == 0:
			err = s.Delete(e.Identity, "")
			delete(there, id)
		default:
			_, err = s.Update(e, "")
		}
		if err != nil {
			t.Fatal(err)
		}
		if random.IntN(3) != 0 {
			continue // nobody looks
		}
		checkLists(t, s, there)
	}
}

func checkLists(t *testing.T, s *Store, there map[string]bool) {
	t.Helper()
	var want, modules []string
	for id := range there {
		want = append(want, id)
	}
	slices.Sort(want)
	for _, id := range want {
		for _, m := range s.Modules(id) {
			modules = append(modules, m.Identity.String())
		}
	}
	var got, gotModules []string
	for page := s.Devices("", 7); len(page) > 0; page = s.Devices(got[len(got)-1], 7) {
		for i := range page {
			got = append(got, page[i].Identity.Device)
		}
	}
	var last iot.Identity
	for page := s.AllModules(last, 3); len(page) > 0; page = s.AllModules(last, 3) {
		for i := range page {
			last = page[i].Identity
			gotModules = append(gotModules, last.String())
		}
	}
	if diff := cmp.Diff(want, got) + cmp.Diff(modules, gotModules); diff != "" {
		t.Fatalf("lists (-want +got):\n%s", diff)
	}
}
