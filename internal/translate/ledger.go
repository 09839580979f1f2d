package translate

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/disk"
)

// A ledger keeps what is known of leaves on disk: JSON under 'l' and the leaf's id.
// Changes are written together, one sync for all that came meanwhile.
type ledger struct {
	db *pebble.DB

	mu      sync.Mutex
	changes []change
	more    chan struct{} // capacity 1
}

// A change is one leaf's.
type change struct {
	leaf   Leaf
	forget bool
	done   func() // called when the change is durable; nil if that may take a while
}

const ledgerPrefix = 'l'

func newLedger(db *pebble.DB) *ledger { return &ledger{db: db, more: make(chan struct{}, 1)} }

// load reads all leaves.
func (g *ledger) load(each func(Leaf)) error {
	return disk.Each(g.db, []byte{ledgerPrefix}, func(_, value []byte) error {
		var l Leaf
		if err := json.Unmarshal(value, &l); err != nil {
			return fmt.Errorf("leaf: %w", err)
		}
		each(l)
		return nil
	})
}

// put notes a change.
func (g *ledger) put(c change) {
	g.mu.Lock()
	g.changes = append(g.changes, c)
	g.mu.Unlock()
	select {
	case g.more <- struct{}{}:
	default:
	}
}

func (g *ledger) take() []change {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.changes
	g.changes = nil
	return c
}

// run writes until ctx ends, and then what there still is. After an error nothing
// is written any more, and no done is called.
func (g *ledger) run(ctx context.Context) error {
	for {
		select {
		case <-g.more:
		case <-ctx.Done():
			return g.write(g.take())
		}
		if err := g.write(g.take()); err != nil {
			return err
		}
	}
}

func (g *ledger) write(changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	b := g.db.NewBatch()
	defer func() { _ = b.Close() }()
	sync := pebble.NoSync
	for _, c := range changes {
		if c.done != nil {
			sync = pebble.Sync
		}
		if err := set(b, &c); err != nil {
			return err
		}
	}
	if err := b.Commit(sync); err != nil {
		return err
	}
	for _, c := range changes {
		if c.done != nil {
			c.done()
		}
	}
	return nil
}

func set(b *pebble.Batch, c *change) error {
	key := append([]byte{ledgerPrefix}, c.leaf.ID...)
	if c.forget {
		return b.Delete(key, nil)
	}
	value, err := json.Marshal(c.leaf)
	if err != nil {
		return err
	}
	return b.Set(key, value, nil)
}
