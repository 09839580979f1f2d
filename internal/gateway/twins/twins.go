// Package twins is a gateway's memory of twins: what the hub said last, and what
// devices have reported since that the hub does not have yet.
//
// All of it is on stable storage before [Store.Put] returns: no device is told a
// version that goes back after a crash, and a gateway that starts without its hub has
// the deployment that was in force.
//
// Keys in the database begin with the bytes 0 and 't', followed by the identity
// in its text form; values are JSON.
package twins

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/disk"
	"sluice/internal/twin"
	"sluice/iot"
)

// A State is what is known of one twin. It is a value: nothing in it is changed
// once it was stored.
type State struct {
	// Known says that the hub's twin was seen. Else Desired is empty and
	// Reported is what is pending.
	Known    bool
	Desired  twin.Document
	Reported twin.Document     // with what is pending applied
	Pending  []json.RawMessage // patches of Reported that the hub lacks, in order
	// Override is a patch of Desired that somebody at the machine has made for the
	// device alone; nil for none. The hub knows nothing of it.
	Override json.RawMessage
}

// Effective is the desired properties as the device sees them: the hub's, in the hub's
// version, with what overrides them here.
func (s State) Effective() twin.Document {
	if s.Override == nil {
		return s.Desired
	}
	d, err := s.Desired.Follow(s.Override, s.Desired.Version(), s.Desired.Updated())
	if err != nil {
		return s.Desired // what is stored was checked
	}
	return d
}

// ForDevice is the part of s that its device sees.
func (s State) ForDevice() iot.Twin {
	return iot.Twin{
		Desired: s.Effective().JSON(), DesiredVersion: s.Desired.Version(),
		Reported: s.Reported.JSON(), ReportedVersion: s.Reported.Version(),
	}
}

// A Store keeps states. Its methods may be called from any goroutine; who reads,
// changes and puts a state back holds [Store.Lock] meanwhile.
type Store struct {
	db *pebble.DB

	mu      sync.Mutex
	pending map[iot.Identity]bool
	locks   map[iot.Identity]*lock
}

// lock is that of one twin, while somebody holds it or waits for it.
type lock struct {
	sync.Mutex
	users int // the store's mu guards it
}

// Open reads which identities have something pending. db stays the caller's to
// close, after the last use of the Store.
func Open(db *pebble.DB) (*Store, error) {
	s := &Store{db: db, pending: map[iot.Identity]bool{}, locks: map[iot.Identity]*lock{}}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open twins: %w", err)
	}
	return s, nil
}

var prefix = []byte{0, 't'}

func key(id iot.Identity) []byte { return append(prefix[:2:2], id.String()...) }

func (s *Store) load() error {
	return disk.Each(s.db, prefix, func(key, value []byte) error {
		id, err := iot.ParseIdentity(string(key[2:]))
		if err != nil {
			return err
		}
		var head struct{ Pending []json.RawMessage }
		if err := json.Unmarshal(value, &head); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		if len(head.Pending) > 0 {
			s.pending[id] = true
		}
		return nil
	})
}

// Lock makes the caller the only one that changes the twin of id, until it calls
// unlock.
func (s *Store) Lock(id iot.Identity) (unlock func()) {
	s.mu.Lock()
	l := s.locks[id]
	if l == nil {
		l = &lock{}
		s.locks[id] = l
	}
	l.users++
	s.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(s.locks, id)
		}
	}
}

// stored is a State on disk.
type stored struct {
	Known    bool              `json:"known"`
	Desired  json.RawMessage   `json:"desired"`
	Reported json.RawMessage   `json:"reported"`
	Pending  []json.RawMessage `json:"pending,omitempty"`
	Override json.RawMessage   `json:"override,omitempty"`
}

// Get returns what is known of a twin; the empty State if nothing is.
func (s *Store) Get(id iot.Identity) (State, error) {
	value, closer, err := s.db.Get(key(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return State{
			Desired:  twin.NewDocument(twin.Desired, time.Time{}),
			Reported: twin.NewDocument(twin.Reported, time.Time{}),
		}, nil
	}
	if err != nil {
		return State{}, failed(id, err)
	}
	defer func() { _ = closer.Close() }() // only gives the value back
	var v stored
	if err := json.Unmarshal(value, &v); err != nil {
		return State{}, failed(id, err)
	}
	st := State{Known: v.Known, Pending: v.Pending, Override: v.Override}
	if st.Desired, err = twin.Parse(twin.Desired, v.Desired); err == nil {
		st.Reported, err = twin.Parse(twin.Reported, v.Reported)
	}
	if err != nil {
		return State{}, failed(id, err)
	}
	return st, nil
}

// Put stores a state, and syncs.
func (s *Store) Put(id iot.Identity, st State) error {
	value, err := json.Marshal(stored{st.Known, st.Desired.JSONWithMetadata(), st.Reported.JSONWithMetadata(), st.Pending, st.Override})
	if err != nil {
		return failed(id, err)
	}
	if err := s.db.Set(key(id), value, pebble.Sync); err != nil {
		return failed(id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(st.Pending) > 0 {
		s.pending[id] = true
	} else {
		delete(s.pending, id)
	}
	return nil
}

// Pending lists the identities that have patches pending, in no order.
func (s *Store) Pending() []iot.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]iot.Identity, 0, len(s.pending))
	for id := range s.pending {
		list = append(list, id)
	}
	return list
}

// Forget removes what is known of an identity that is no more.
func (s *Store) Forget(id iot.Identity) error {
	if err := s.db.Delete(key(id), pebble.Sync); err != nil {
		return failed(id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, id)
	return nil
}

func failed(id iot.Identity, err error) error {
	return &iot.Error{Kind: iot.Internal, Op: "twin", Identity: id, Err: err}
}
