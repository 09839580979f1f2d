package poller

import (
	"cmp"
	"slices"
	"time"

	"sluice/internal/modbus"
)

// group is the registers of a unit that are read at the same time, and sent as one
// message.
type group struct {
	interval time.Duration
	blocks   []block
	next     time.Time
	refused  error // why some of it could not be read the last time
}

// block is registers that one request reads.
type block struct {
	function  modbus.Function
	address   int
	count     int
	registers []*Register
}

// groups makes the plan of a unit.
func (u *Unit) groups() []*group {
	byInterval := make(map[time.Duration][]*Register)
	for i := range u.Registers {
		r := &u.Registers[i]
		byInterval[r.interval] = append(byInterval[r.interval], r)
	}
	var list []*group
	for interval, registers := range byInterval {
		list = append(list, &group{interval: interval, blocks: blocks(registers)})
	}
	slices.SortFunc(list, func(a, b *group) int { return cmp.Compare(a.interval, b.interval) })
	return list
}

// blocks puts registers that lie side by side into one request. What lies between
// others and was not asked for is not read: a device may have nothing there.
func blocks(registers []*Register) (list []block) {
	sorted := slices.SortedStableFunc(slices.Values(registers), func(a, b *Register) int {
		return cmp.Or(cmp.Compare(kinds[a.Kind], kinds[b.Kind]), cmp.Compare(a.Address, b.Address))
	})
	for _, r := range sorted {
		most := modbus.MaxReadRegisters
		if r.bit() {
			most = modbus.MaxReadBits
		}
		f, end := kinds[r.Kind], r.Address+r.width()
		if n := len(list); n > 0 && list[n-1].function == f && r.Address <= list[n-1].address+list[n-1].count && end-list[n-1].address <= most {
			b := &list[n-1]
			b.count = max(b.count, end-b.address)
			b.registers = append(b.registers, r)
			continue
		}
		list = append(list, block{f, r.Address, r.width(), []*Register{r}})
	}
	return list
}
