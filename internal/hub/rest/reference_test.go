package rest

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sluice/internal/hub/storage"
	"sluice/internal/hub/transfer"
	"sluice/internal/transcript"
)

const reference = "../../../docs/service-api.md"

// TestReferenceIsThatOfTheRoutes writes the list of routes into the documentation,
// with -update, and else compares.
func TestReferenceIsThatOfTheRoutes(t *testing.T) {
	opt := newHub(t).Handler.(*api).Options
	opt.Transfers = new(transfer.Store)
	routes := New(opt).(*api).routes
	slices.SortFunc(routes, func(a, b route) int { return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method)) })
	var b strings.Builder
	for _, r := range routes {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", r.method, r.path, mayCall(r))
	}
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	const head = "| --- | --- | --- |\n"
	before, rest, ok := strings.Cut(string(text), head)
	_, after, ends := strings.Cut(rest, "\n\n")
	if !ok || !ends {
		t.Fatalf("%s has no list of routes", reference)
	}
	transcript.Compare(t, reference, before+head+b.String()+"\n"+after)
}

// mayCall says who may call a route.
func mayCall(r route) string {
	var rights []string
	for _, right := range []struct {
		is   storage.Rights
		name string
	}{
		{storage.RegistryRead, "RegistryRead"}, {storage.RegistryWrite, "RegistryWrite"},
		{storage.ServiceConnect, "ServiceConnect"}, {storage.DeviceConnect, "DeviceConnect"},
	} {
		if r.right.Has(right.is) {
			rights = append(rights, right.name)
		}
	}
	policy := strings.Join(rights, ", ")
	switch r.callers {
	case ownDevice:
		return policy + "; the edge device itself"
	case ownEdgeHub:
		return "the edge device's `$edgeHub`"
	}
	return policy
}
