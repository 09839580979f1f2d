package storagetest

import (
	"bytes"
	"maps"
	"slices"
	"sync"

	"sluice/internal/hub/storage"
)

// Memory is documents in memory, for tests. The zero Memory holds none.
type Memory struct {
	mu      sync.Mutex
	now     map[string][]byte
	durable map[string][]byte // replaced, never changed
}

var _ storage.Documents = (*Memory)(nil)

// Write implements [storage.Documents].
func (m *Memory) Write(b storage.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.apply(b)
	m.durable = maps.Clone(m.now)
	return nil
}

// Note implements [storage.Documents].
func (m *Memory) Note(b storage.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.apply(b)
	return nil
}

// apply makes the changes of a batch. m.mu is held.
func (m *Memory) apply(b storage.Batch) {
	if m.now == nil {
		m.now = map[string][]byte{}
	}
	for _, e := range b {
		switch {
		case e.To != nil:
			maps.DeleteFunc(m.now, func(key string, _ []byte) bool { return key >= string(e.Key) && key < string(e.To) })
		case e.Value == nil:
			delete(m.now, string(e.Key))
		default:
			m.now[string(e.Key)] = bytes.Clone(e.Value)
		}
	}
}

// Scan implements [storage.Documents].
func (m *Memory) Scan(from, to []byte, visit func(key, value []byte) (more bool, err error)) error {
	m.mu.Lock()
	then := maps.Clone(m.now)
	m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(then)) {
		if key < string(from) || key >= string(to) {
			continue
		}
		if more, err := visit([]byte(key), then[key]); err != nil || !more {
			return err
		}
	}
	return nil
}

// PowerCut returns what a power cut leaves.
func (m *Memory) PowerCut() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{now: maps.Clone(m.durable), durable: m.durable}
}
