package hub

import (
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/throttle"
	"sluice/iot"
)

// throttled refuses operations of a device above the hub's rate.
func (h *Hub) throttled(op throttle.Operation, n int, id iot.Identity) error {
	again, ok := h.opt.Throttle.Take(op, n)
	if ok {
		return nil
	}
	return code.Errorf(code.Throttling, "throttle", id, "the hub's rate is exceeded; try again in %v", again.Round(time.Millisecond))
}
