package amqp10

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// A table agrees with a map, wherever the serial numbers start.
func TestA5_TableAgreesWithAMap(t *testing.T) {
	for _, start := range []uint32{0, 1<<31 - 50, 1<<32 - 50} {
		t.Run(fmt.Sprintf("A5 from %d", start), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(start), 5))
			var table table[uint32]
			model := make(map[uint32]bool)
			next := start
			for range 5000 {
				switch first := start + rng.Uint32N(next-start+3); rng.IntN(6) {
				case 0, 1, 2:
					table.add(next, next)
					model[next] = true
					next++
				case 3:
					if got := table.remove(first); got != model[first] {
						t.Fatalf("remove %d = %v", first, got)
					}
					delete(model, first)
				case 4:
					last := first + rng.Uint32N(5)
					for _, id := range walk(t, &table, first, last, rng.IntN(2) == 0) {
						if !model[id] || id-first > last-first {
							t.Fatalf("%d to %d: %d", first, last, id)
						}
					}
					for id := range model {
						if _, ok := find(&table, id); !ok {
							delete(model, id)
							if id-first > last-first {
								t.Fatalf("%d is gone after %d to %d", id, first, last)
							}
						}
					}
				default:
					if rng.IntN(500) == 0 {
						table.all(func(uint32, uint32) bool { return false })
						clear(model)
					}
				}
				if table.live != len(model) || len(table.entries) > 2*table.live+64 {
					t.Fatalf("%d live in %d entries, want %d", table.live, len(table.entries), len(model))
				}
			}
		})
	}
}

// walk visits a range, and checks that it comes in order.
func walk(t *testing.T, table *table[uint32], first, last uint32, keep bool) (ids []uint32) {
	t.Helper()
	table.each(first, last, func(id, v uint32) bool {
		if id != v || len(ids) > 0 && int32(id-ids[len(ids)-1]) <= 0 {
			t.Fatalf("%d holds %d, after %v", id, v, ids)
		}
		ids = append(ids, id)
		return keep
	})
	return ids
}

func find(table *table[uint32], id uint32) (v uint32, ok bool) {
	i := table.search(id)
	if i < len(table.entries) && table.entries[i].id == id && table.entries[i].live {
		return table.entries[i].v, true
	}
	return 0, false
}

// Whatever range a peer names, it costs what is in the table.
func BenchmarkTableWideRange(b *testing.B) {
	var table table[int]
	for i := range uint32(4096) {
		table.add(i, 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		table.each(0, 1<<31-1, func(uint32, int) bool { return true })
	}
}
