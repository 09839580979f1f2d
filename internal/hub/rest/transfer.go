package rest

import (
	"encoding/json"
	"net/http"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/transfer"
	"sluice/internal/service"
	"sluice/iot"
)

// maxRegistryJob bounds the body of a job that moves identities, in bytes.
const maxRegistryJob = 64 << 10

func (a *api) transferRoutes() []route {
	if a.Transfers == nil {
		return nil
	}
	const right = storage.RegistryRead | storage.RegistryWrite
	return []route{
		{method: http.MethodPost, path: "/jobs/create", right: right, handle: createTransfer},
		{method: http.MethodGet, path: "/jobs", right: right, handle: listTransfers},
		{method: http.MethodGet, path: "/jobs/{job}", right: right, handle: getTransfer},
		{method: http.MethodDelete, path: "/jobs/{job}", right: right, handle: cancelTransfer},
	}
}

func createTransfer(c *call) (answer, error) {
	var want service.RegistryJob
	if err := c.read(maxRegistryJob, &want); err != nil {
		return answer{}, err
	}
	j, err := c.Transfers.Create(want, identities{c.api})
	return answer{body: j}, err
}

func listTransfers(c *call) (answer, error) { return answer{body: c.Transfers.List()}, nil }

func getTransfer(c *call) (answer, error) {
	j, err := c.Transfers.Get(c.vars["job"])
	return answer{body: j}, err
}

func cancelTransfer(c *call) (answer, error) {
	j, err := c.Transfers.Cancel(c.vars["job"])
	return answer{body: j}, err
}

// identities are those of the hub, as jobs move them.
type identities struct{ *api }

var _ transfer.Identities = identities{}

// Count implements [transfer.Identities].
func (i identities) Count() int {
	n := i.Registry.Counts()
	return n.Devices + n.Modules
}

// exportPage is how many identities are in memory at a time.
const exportPage = 500

// Export implements [transfer.Identities]: devices first, so that modules find theirs
// when they are imported.
func (i identities) Export(withoutKeys bool, line func([]byte) error) error {
	for after := ""; ; {
		page := i.Registry.Devices(after, exportPage)
		if err := i.exportPage(page, withoutKeys, line); err != nil || len(page) < exportPage {
			if err != nil {
				return err
			}
			break
		}
		after = page[len(page)-1].Identity.Device
	}
	for after := (iot.Identity{}); ; {
		page := i.Registry.AllModules(after, exportPage)
		if err := i.exportPage(page, withoutKeys, line); err != nil || len(page) == 0 {
			return err
		}
		after = page[len(page)-1].Identity
	}
}

func (i identities) exportPage(page []storage.Entry, withoutKeys bool, line func([]byte) error) error {
	for n := range page {
		form, err := i.exported(&page[n], withoutKeys)
		if err != nil {
			return err
		}
		text, err := json.Marshal(form)
		if err != nil {
			return err
		}
		if err := line(text); err != nil {
			return err
		}
	}
	return nil
}

// exported is an identity in the form in which it is exported, and imported again.
type exported struct {
	ID             string                `json:"id"`
	ModuleID       string                `json:"moduleId,omitempty"`
	ETag           string                `json:"eTag"`
	Status         string                `json:"status,omitempty"`
	StatusReason   string                `json:"statusReason,omitempty"`
	ManagedBy      string                `json:"managedBy,omitempty"`
	Authentication exportedProof         `json:"authentication"`
	Capabilities   *service.Capabilities `json:"capabilities,omitempty"`
	DeviceScope    string                `json:"deviceScope,omitempty"`
	ParentScopes   []string              `json:"parentScopes,omitempty"`
	TwinETag       string                `json:"twinETag,omitempty"`
	Tags           json.RawMessage       `json:"tags,omitempty"`
	Properties     *exportedProperties   `json:"properties,omitempty"`
}

type exportedProof struct {
	Type           iot.AuthType          `json:"type"`
	SymmetricKey   *service.SymmetricKey `json:"symmetricKey"` // null without keys
	X509Thumbprint *service.Thumbprints  `json:"x509Thumbprint"`
}

type exportedProperties struct {
	Desired  json.RawMessage `json:"desired"`
	Reported json.RawMessage `json:"reported"`
}

func (i identities) exported(e *storage.Entry, withoutKeys bool) (*exported, error) {
	auth := authForm(&e.Auth)
	form := &exported{
		ID: e.Identity.Device, ModuleID: e.Identity.Module, ETag: e.ETag, StatusReason: e.StatusReason, ManagedBy: e.ManagedBy,
		Authentication: exportedProof{auth.Type, auth.SymmetricKey, auth.X509Thumbprint},
		DeviceScope:    e.Scope, ParentScopes: e.ParentScopes,
	}
	if withoutKeys {
		form.Authentication.SymmetricKey = nil
	}
	if !e.Identity.IsModule() {
		form.Capabilities = &service.Capabilities{IoTEdge: e.Edge}
		form.Status = "enabled"
		if !e.Enabled {
			form.Status = "disabled"
		}
	}
	if _, alone := i.Hub.(empty); alone {
		return form, nil
	}
	t, err := i.Hub.Twin(e.Identity)
	switch {
	case iot.KindOf(err) == iot.NotFound && err != nil:
		return form, nil // deleted meanwhile
	case err != nil:
		return nil, err
	}
	form.TwinETag, form.Tags = t.ETag(), t.Tags.JSON()
	form.Properties = &exportedProperties{t.Desired.JSONWithMetadata(), t.Reported.JSONWithMetadata()}
	return form, nil
}

// Import implements [transfer.Identities]. Lines mean what items of a bulk request
// mean, but one that names no mode creates an identity or changes it, and what it says
// of reported properties, which a device that is there knows better, counts only for a
// new one.
func (i identities) Import(lines [][]byte) (wrong []service.BulkError, err error) {
	items := make([]wanted, 0, len(lines))
	for n := range lines {
		var w wanted
		if err := json.Unmarshal(lines[n], &w); err != nil {
			err := code.Errorf(code.FormatError, "import", iot.Identity{}, "a line is not the JSON that it should be: %s", complaint(err))
			wrong = append(wrong, bulkError(iot.Identity{}, err))
			continue
		}
		w.withoutMetadata()
		if w.ImportMode == "" {
			w.ImportMode = "createOrUpdate"
		}
		items = append(items, w)
	}
	if i.importNew(items) {
		return wrong, nil
	}
	for n := range items {
		err := i.importOne(&items[n])
		switch {
		case err != nil && iot.KindOf(err) == iot.Internal:
			return wrong, err // the disk's, not the line's
		case err != nil:
			wrong = append(wrong, bulkError(items[n].identity(), err))
		}
	}
	return wrong, nil
}

// importNew creates all items with two writes, if that is what is wanted and none of
// them is there.
func (i identities) importNew(items []wanted) bool {
	fresh := make([]wanted, len(items))
	for n, w := range items {
		mode, _ := w.mode()
		_, exists := i.Registry.Get(w.identity())
		if exists || mode != "create" && mode != "createorupdate" || w.identity().Validate() != nil {
			return false
		}
		w.ImportMode = "create"
		fresh[n] = w
	}
	return len(fresh) == 0 || i.createAll(fresh)
}

func (i identities) importOne(w *wanted) error {
	if _, exists := i.Registry.Get(w.identity()); exists {
		w.Properties.Reported = nil
	}
	return i.one(w, w.identity())
}

// withoutMetadata takes out of a twin what only a hub can say.
func (w *wanted) withoutMetadata() {
	for _, of := range []map[string]json.RawMessage{w.Tags, w.Properties.Desired, w.Properties.Reported} {
		delete(of, "$metadata")
		delete(of, "$version")
	}
}
