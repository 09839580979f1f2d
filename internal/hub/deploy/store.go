package deploy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/query"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/iot"
)

// A Store holds the configurations of one hub. Its methods may be called from any
// goroutine.
type Store struct {
	docs storage.Documents
	now  func() time.Time

	changing sync.Mutex // held by who changes, over the fsync

	mu      sync.RWMutex
	entries map[string]*entry
	ranked  [Edge + 1][]*entry // by target, the one that wins last; replaced, never changed
	changed func()
}

// Open reads the configurations that are in docs. A nil now is time.Now.
func Open(docs storage.Documents, now func() time.Time) (*Store, error) {
	if now == nil {
		now = time.Now
	}
	s := &Store{docs: docs, now: now, entries: map[string]*entry{}, changed: func() {}}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open configurations: %w", err)
	}
	s.rank()
	return s, nil
}

const configurationKey = 'g'

func keyOf(id string) []byte { return append([]byte{configurationKey}, id...) }

// record is what is stored.
type record struct {
	Revision      int64                 `json:"revision"`
	Configuration service.Configuration `json:"configuration"`
}

func (s *Store) load() error {
	return s.docs.Scan([]byte{configurationKey}, []byte{configurationKey + 1}, func(key, value []byte) (bool, error) {
		var r record
		if err := json.Unmarshal(value, &r); err != nil {
			return false, fmt.Errorf("key %q: %w", key, err)
		}
		e, err := parse(r.Configuration)
		if err != nil {
			return false, fmt.Errorf("key %q: %w", key, err)
		}
		e.revision = r.Revision
		s.entries[e.form.ID] = e
		return true, nil
	})
}

// rank sorts the entries. s.mu is held, or the store is being opened.
func (s *Store) rank() {
	s.ranked = [Edge + 1][]*entry{}
	for _, e := range s.entries {
		s.ranked[e.content.Target] = append(s.ranked[e.content.Target], e)
	}
	for _, list := range s.ranked {
		byRank(list)
	}
}

// Watch calls changed after each change, once it is durable and Plan sees it. It
// must return soon. There is one watcher.
func (s *Store) Watch(changed func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = changed
}

// Get returns a configuration, without results of metrics. The error has the code
// ConfigurationNotFound.
func (s *Store) Get(id string) (service.Configuration, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.entries[id]
	if !ok {
		return service.Configuration{}, notFound(id)
	}
	return e.form, nil
}

// List returns at most limit configurations in the order of their ids.
func (s *Store) List(limit int) []service.Configuration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := slices.Sorted(maps.Keys(s.entries))
	list := make([]service.Configuration, 0, min(limit, len(ids)))
	for _, id := range ids[:min(limit, len(ids))] {
		list = append(list, s.entries[id].form)
	}
	return list
}

// Create adds a configuration, which is returned as it was stored. Errors carry a
// [code.Code]: ConfigurationAlreadyExists, TooManyConfigurations, ArgumentInvalid.
func (s *Store) Create(c service.Configuration) (service.Configuration, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	e, err := parse(c)
	if err != nil {
		return c, err
	}
	s.mu.RLock()
	old, n := s.entries[c.ID], len(s.entries)
	s.mu.RUnlock()
	switch {
	case old != nil:
		return c, code.Errorf(code.ConfigurationAlreadyExists, "configuration", iot.Identity{}, "there is a configuration '%s' already", c.ID)
	case n >= MaxConfigurations:
		return c, code.Errorf(code.TooManyConfigurations, "configuration", iot.Identity{}, "the hub has %d configurations, its limit", n)
	}
	e.form.CreatedTime = s.tick()
	return s.put(e, 1)
}

// Update replaces a configuration whose entity tag is ifMatch; "" and "*" match
// every one. Errors carry a [code.Code]: ConfigurationNotFound,
// PreconditionFailed, ArgumentInvalid.
func (s *Store) Update(c service.Configuration, ifMatch string) (service.Configuration, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	old, err := s.match(c.ID, ifMatch)
	if err != nil {
		return c, err
	}
	e, err := parse(c)
	if err != nil {
		return c, err
	}
	e.form.CreatedTime = old.form.CreatedTime
	return s.put(e, old.revision+1)
}

// Delete removes a configuration whose entity tag is ifMatch; "" and "*" match
// every one. Errors carry a [code.Code]: ConfigurationNotFound,
// PreconditionFailed.
func (s *Store) Delete(id, ifMatch string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if _, err := s.match(id, ifMatch); err != nil {
		return err
	}
	if err := s.docs.Write(storage.Batch{{Key: keyOf(id)}}); err != nil {
		return unstored(err)
	}
	s.show(id, nil)
	return nil
}

// match finds the entry with this entity tag. The caller holds changing.
func (s *Store) match(id, ifMatch string) (*entry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.entries[id]
	switch {
	case e == nil:
		return nil, notFound(id)
	case ifMatch != "" && ifMatch != "*" && ifMatch != e.form.ETag:
		return nil, code.Errorf(code.PreconditionFailed, "configuration", iot.Identity{}, "the etag is no longer %q: configuration '%s' was changed meanwhile", ifMatch, id)
	}
	return e, nil
}

// put stores e. The caller holds changing.
func (s *Store) put(e *entry, revision int64) (service.Configuration, error) {
	e.revision = revision
	e.form.LastUpdatedTime = s.tick()
	e.form.ETag = base64.StdEncoding.EncodeToString(strconv.AppendInt(nil, revision, 10))
	if e.form.SchemaVersion == "" {
		e.form.SchemaVersion = "1.0"
	}
	if e.form.Labels == nil {
		e.form.Labels = map[string]string{}
	}
	e.form.ContentType = "assignment"
	e.form.SystemMetrics = service.Metrics{}
	e.form.Metrics.Results = nil
	value, err := json.Marshal(record{revision, e.form})
	if err == nil {
		err = s.docs.Write(storage.Batch{{Key: keyOf(e.form.ID), Value: value}})
	}
	if err != nil {
		return e.form, unstored(err)
	}
	s.show(e.form.ID, e)
	return e.form, nil
}

// tick is the time, as exactly as it is stored: who was first must be the same
// after a restart.
func (s *Store) tick() service.Time { return service.Time{Time: s.now().UTC().Truncate(100)} }

// show lets readers see an entry, or that it is gone, and tells the watcher.
func (s *Store) show(id string, e *entry) {
	s.mu.Lock()
	if e == nil {
		delete(s.entries, id)
	} else {
		s.entries[id] = e
	}
	s.rank()
	changed := s.changed
	s.mu.Unlock()
	changed()
}

// Plan decides what the configurations make of the identity that row is the twin
// of: a device, an edge device or a module.
func (s *Store) Plan(row query.Row, module, edge bool) Plan {
	s.mu.RLock()
	ranked := s.ranked
	s.mu.RUnlock()
	var p Plan
	for _, target := range []Target{Devices, Modules, Edge} {
		if module == (target == Modules) && (target != Edge || edge) {
			p.plan(target, matching(ranked[target], row))
		}
	}
	return p
}

func matching(list []*entry, row query.Row) (found []*entry) {
	for _, e := range list {
		if e.condition != nil && e.condition.Match(row) {
			found = append(found, e)
		}
	}
	return found
}

// Len is how many configurations there are.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.entries)
}

func notFound(id string) error {
	return code.Errorf(code.ConfigurationNotFound, "configuration", iot.Identity{}, "there is no configuration '%.130s'", id)
}

func unstored(err error) error {
	return &iot.Error{Kind: iot.Internal, Op: "configuration", Detail: "could not be stored", Err: err}
}
