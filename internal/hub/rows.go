package hub

import (
	"encoding/json"
	"errors"

	"sluice/internal/hub/query"
	"sluice/internal/hub/storage"
	"sluice/internal/twin"
	"sluice/iot"
)

// A row is a twin in a query. What the registry and the sessions know of its
// owner is gathered only if the query asks: most ask for tags.
type row struct {
	h      *Hub
	reader storage.TwinReader
	entry  *storage.Entry
	bare   *twin.View // without the owner
	whole  *twin.View // with it; nil until it is asked for
	err    error
}

var _ query.Row = (*row)(nil)

// Lookup finds the value at path.
func (r *row) Lookup(path []string) (twin.Value, bool) {
	if len(path) > 0 {
		switch path[0] {
		case "tags", "properties", "etag", "version":
			return r.bare.Lookup(path)
		case "deviceId": // most queries that are about the owner
			return twin.StringValue(r.entry.Identity.Device).Lookup(path[1:])
		}
	}
	v := r.full()
	if v == nil {
		return twin.Value{}, false
	}
	return v.Lookup(path)
}

// JSON is the twin as the service shows it.
func (r *row) JSON() (json.RawMessage, error) {
	v := r.full()
	if v == nil {
		return nil, r.err
	}
	return v.JSON()
}

func (r *row) full() *twin.View {
	if r.whole == nil && r.err == nil {
		r.whole, r.err = r.reader.View(r.h.Owner(r.entry), r.entry.Identity, r.entry.GenerationID)
	}
	return r.whole
}

// broken is what could not be read.
func (r *row) broken() error {
	err := errors.Join(r.err, r.bare.Err())
	if r.whole != nil {
		err = errors.Join(err, r.whole.Err())
	}
	if err == nil {
		return nil
	}
	return &iot.Error{Kind: iot.Internal, Op: "query", Identity: r.entry.Identity, Err: err}
}

// chunk is how many identities are listed at once.
const chunk = 1000

// twinRows visits the twins of all devices or all modules after the key after, in
// order, until visit says that it has had enough. ids, if not nil, are the only
// devices to look at. The key of a row is its identity's text.
func (h *Hub) twinRows(from query.Collection, ids []string, after string, visit func(key string, r *row) (more bool, err error)) (err error) {
	reader, err := h.opt.Twins.NewReader()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	next := h.lister(from, ids, after)
	for {
		list := next()
		if len(list) == 0 {
			return nil
		}
		for i := range list {
			r, err := h.newRow(reader, &list[i])
			if err != nil {
				return err
			}
			more, err := visit(list[i].Identity.String(), r)
			if err = errors.Join(err, r.broken()); err != nil || !more {
				return err
			}
		}
	}
}

func (h *Hub) newRow(reader storage.TwinReader, e *storage.Entry) (*row, error) {
	bare, err := reader.View(twin.Owner{}, e.Identity, e.GenerationID)
	return &row{h: h, reader: reader, entry: e, bare: bare}, err
}

// lister returns a function that lists the identities of a collection in chunks,
// and at the end nothing.
func (h *Hub) lister(from query.Collection, ids []string, after string) func() []storage.Entry {
	last, _ := iot.ParseIdentity(after) // the zero identity, or one that is a key
	return func() (list []storage.Entry) {
		switch {
		case ids != nil:
			list, ids = h.named(from, ids, after), []string{}
			return list
		case from == query.Modules:
			list = h.opt.Registry.AllModules(last, chunk)
		default:
			list = h.opt.Registry.Devices(last.Device, chunk)
		}
		if len(list) > 0 {
			last = list[len(list)-1].Identity
		}
		return list
	}
}

// named are the rows of a collection that belong to these devices, after the
// key after.
func (h *Hub) named(from query.Collection, ids []string, after string) (list []storage.Entry) {
	passed := after == ""
	add := func(e storage.Entry) {
		if passed {
			list = append(list, e)
		}
		passed = passed || e.Identity.String() == after
	}
	last, _ := iot.ParseIdentity(after)
	for _, id := range ids {
		if !passed && id > last.Device {
			passed = true // it was deleted meanwhile
		}
		if from == query.Modules {
			for _, e := range h.opt.Registry.Modules(id) {
				add(e)
			}
		} else if e, ok := h.opt.Registry.Get(iot.DeviceIdentity(id)); ok {
			add(e)
		}
	}
	return list
}
