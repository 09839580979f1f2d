package edge

import (
	"context"
	"errors"
	"time"

	"sluice/internal/operate"
)

// bindOperate makes the socket for the operator. A gateway that cannot have one
// serves its devices all the same.
func (e *Edge) bindOperate() error {
	l, err := operate.Listen(e.cfg.DataDir)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return nil
	case err != nil:
		e.log.Warn("the command sluice gateway cannot be used with this gateway", "err", err)
		return nil
	}
	e.operate = l
	e.undo = append(e.undo, func() error { _ = l.Close(); return nil }) // Run may have closed it
	return nil
}

// serveOperate answers the operator until ctx ends.
func (e *Edge) serveOperate(ctx context.Context) {
	if e.operate == nil {
		return
	}
	desk := operate.Desk{Gateway: e.gateway, Spool: e.spool, Began: time.Now()}
	if e.modules != nil {
		desk.Modules = e.modules.Handler()
	}
	if err := desk.Serve(ctx, e.operate); err != nil {
		e.log.Error("the command sluice gateway is not answered any more", "err", err)
	}
}
