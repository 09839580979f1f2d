package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"sluice/internal/tlsx"
)

const (
	// drainGrace is how long, when stopping, what devices have sent may take to
	// reach the disk.
	drainGrace = 2 * time.Second
	// wreckGrace is how long stopping may take after a disk has failed: what
	// waits for it may wait for ever.
	wreckGrace = 3 * time.Second
)

// Run serves until ctx ends, and then returns nil, or until it cannot: with the
// *spool.FatalError of a disk that failed, or the error of a listener. Everything
// is closed then; it takes less than five seconds.
func (e *Edge) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- e.run(ctx) }()
	select {
	case err := <-ended:
		return err
	case err := <-e.fatal:
		stop()
		late := time.NewTimer(wreckGrace)
		defer late.Stop()
		select {
		case also := <-ended:
			return errors.Join(err, also)
		case <-late.C:
			return err
		}
	}
}

// run serves devices for as long as ctx lasts, and keeps what serves them alive
// until the last has been answered. Modules end first, and can still say something.
func (e *Edge) run(ctx context.Context) error {
	modules, endModules := context.WithCancel(ctx)
	defer endModules()
	heads, endHeads := context.WithCancel(context.WithoutCancel(ctx))
	behind, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { defer endHeads(); e.runModules(modules) })
	wg.Go(func() { e.gateway.Run(behind) })
	wg.Go(func() { e.cert.run(behind) })
	wg.Go(func() { e.report(behind) })
	wg.Go(func() { e.serveMetrics(behind) })
	wg.Go(func() { e.serveOperate(behind) })
	err := e.serve(heads)
	if err == nil {
		e.log.Info("stopped serving; closing")
	}
	endModules()
	stop()
	wg.Wait()
	return errors.Join(err, e.Close())
}

// serve serves all listeners until ctx ends or one of them fails, and returns when
// all connections have ended.
func (e *Edge) serve(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(ctx, e.gateway.Unpace)()
	served := make(chan error, 3)
	go func() { served <- e.serveMQTT(ctx, e.listener) }()
	go func() { served <- e.serveAMQP(ctx) }()
	go func() { served <- e.serveHTTPS(ctx) }()
	first := <-served
	end()
	return errors.Join(first, <-served, <-served)
}

func (e *Edge) serveAMQP(ctx context.Context) error {
	l := tls.NewListener(e.amqpFrom, tlsx.ServerConfig(e.cert.Certificate))
	if err := e.amqp.Serve(ctx, l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("AMQP: accept: %w", err)
	}
	return nil
}

// serveMQTT serves the listener until ctx ends or it fails, and returns when all
// connections have ended. The server is given the sockets below, which it reads
// with less memory than anything around them.
func (e *Edge) serveMQTT(ctx context.Context, l *tlsx.Listener) error {
	ctx, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
	wg.Go(func() { <-ctx.Done(); _ = l.Close() })
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("MQTT: accept: %w", err)
		}
		wg.Go(func() {
			defer c.Close()                                //nolint:errcheck // closed below already
			e.ended(c, e.mqtt.ServeConn(ctx, socketOf(c))) // the server has logged it
		})
	}
}

func socketOf(c net.Conn) net.Conn {
	if l, ok := c.(*tlsx.Conn); ok {
		if s := l.Socket(); s != nil {
			return s
		}
	}
	return c
}
