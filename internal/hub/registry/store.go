package registry

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/disk"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

// Options are the knobs of a Store. The zero value is good.
type Options struct {
	MaxDevices int              // 0: 1,000,000
	Now        func() time.Time // wall clock; nil: time.Now
}

// A Store holds the identities and policies of one hub. Its methods may be called
// from any goroutine.
type Store struct {
	db  *pebble.DB
	opt Options

	changing sync.Mutex // held by who changes, over the fsync

	mu       sync.RWMutex
	entries  map[iot.Identity]*storage.Entry
	order    order
	modules  map[string][]string                  // by device, sorted
	edges    map[string]iot.Identity              // edge devices by scope
	children map[string]map[iot.Identity]struct{} // devices by the scope above them
	policies map[string]storage.Policy
	counts   storage.Counts
	watchers map[*func([]storage.Change)]struct{}
	etags    uint64
}

var _ storage.Identities = (*Store)(nil)

// Open reads the registry that is in db, and gives a new one its policies. db
// stays the caller's to close, after the last use of the Store.
func Open(db *pebble.DB, opt Options) (*Store, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.MaxDevices == 0 {
		opt.MaxDevices = defaultMaxDevices
	}
	s := &Store{
		db: db, opt: opt,
		entries:  map[iot.Identity]*storage.Entry{},
		modules:  map[string][]string{},
		edges:    map[string]iot.Identity{},
		children: map[string]map[iot.Identity]struct{}{},
		policies: map[string]storage.Policy{},
		watchers: map[*func([]storage.Change)]struct{}{},
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	if err := s.addPolicies(); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	return s, nil
}

const (
	identityKey = 'i'
	policyKey   = 'p'
)

func keyOf(id iot.Identity) []byte {
	k := append([]byte{identityKey}, id.Device...)
	if id.IsModule() {
		k = append(k, 0)
		k = append(k, id.Module...)
	}
	return k
}

func (s *Store) load() error {
	err := disk.Each(s.db, []byte{identityKey}, func(_, value []byte) error {
		e := new(storage.Entry)
		if err := json.Unmarshal(value, e); err != nil {
			return err
		}
		s.put(e)
		s.etags = max(s.etags, etagNumber(e.ETag))
		return nil
	})
	if err != nil {
		return err
	}
	return disk.Each(s.db, []byte{policyKey}, func(_, value []byte) error {
		var p storage.Policy
		err := json.Unmarshal(value, &p)
		s.policies[p.Name] = p
		return err
	})
}

// addPolicies makes the policies that are missing, with new keys.
func (s *Store) addPolicies() error {
	b := s.db.NewBatch()
	defer b.Close() //nolint:errcheck // committed, or given up
	for _, p := range builtIn {
		if _, ok := s.policies[p.Name]; ok {
			continue
		}
		p.Primary, p.Secondary = sas.NewKey(), sas.NewKey()
		if err := setJSON(b, append([]byte{policyKey}, p.Name...), p); err != nil {
			return err
		}
		s.policies[p.Name] = p
	}
	if b.Empty() {
		return nil
	}
	return b.Commit(pebble.Sync)
}

func setJSON(b *pebble.Batch, key []byte, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Set(key, value, nil)
}

// put makes e the entry of its identity, in memory.
func (s *Store) put(e *storage.Entry) {
	id := e.Identity
	if _, known := s.entries[id]; !known && !id.IsModule() {
		s.order.added = append(s.order.added, id.Device)
	}
	s.drop(id)
	s.entries[id] = e
	count(&s.counts, e, 1)
	if id.IsModule() {
		list := s.modules[id.Device]
		at, _ := slices.BinarySearch(list, id.Module)
		s.modules[id.Device] = slices.Insert(slices.Clip(list), at, id.Module)
		return
	}
	if e.Edge {
		s.edges[scopeKey(e.Scope)] = id
	}
	if parent := e.Parent(); parent != "" {
		below := s.children[scopeKey(parent)]
		if below == nil {
			below = map[iot.Identity]struct{}{}
			s.children[scopeKey(parent)] = below
		}
		below[id] = struct{}{}
	}
}

// drop forgets the entry of id, in memory.
func (s *Store) drop(id iot.Identity) {
	e := s.entries[id]
	if e == nil {
		return
	}
	delete(s.entries, id)
	count(&s.counts, e, -1)
	if id.IsModule() {
		list := slices.DeleteFunc(slices.Clone(s.modules[id.Device]), func(m string) bool { return m == id.Module })
		s.modules[id.Device] = list
		if len(list) == 0 {
			delete(s.modules, id.Device)
		}
		return
	}
	if e.Edge {
		delete(s.edges, scopeKey(e.Scope))
	}
	if parent := scopeKey(e.Parent()); parent != "" {
		delete(s.children[parent], id)
		if len(s.children[parent]) == 0 {
			delete(s.children, parent)
		}
	}
}

// scopeKey makes scopes comparable: their case does not matter.
func scopeKey(scope string) string { return strings.ToLower(scope) }

// Watch calls watch after each change, once it is durable and readers see it,
// with all that changed together. It is called by one goroutine at a time, in
// the order of the changes, must return soon and must not change the registry.
// Watching ends when stop is called.
func (s *Store) Watch(watch func([]storage.Change)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[&watch] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, &watch)
	}
}

// commit stores changes, shows them to readers and tells watchers. The caller
// holds changing.
func (s *Store) commit(changes []storage.Change) error {
	b := s.db.NewBatch()
	defer b.Close() //nolint:errcheck // committed, or given up
	for _, c := range changes {
		key := keyOf(c.Identity())
		var err error
		if c.After == nil {
			err = b.Delete(key, nil)
		} else {
			err = setJSON(b, key, c.After)
		}
		if err != nil {
			return unstored(c.Identity(), err)
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return unstored(changes[0].Identity(), err)
	}
	for _, watch := range s.show(changes) {
		(*watch)(changes)
	}
	return nil
}

func unstored(id iot.Identity, err error) error {
	return &iot.Error{Kind: iot.Internal, Op: "registry", Identity: id, Detail: "could not be stored", Err: err}
}

func (s *Store) show(changes []storage.Change) []*func([]storage.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		if c.After == nil {
			s.drop(c.Identity())
			s.order.gone++
		} else {
			s.put(c.After)
		}
	}
	return slices.Collect(maps.Keys(s.watchers))
}
