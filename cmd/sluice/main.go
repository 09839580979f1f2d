// Sluice is an IoT Edge gateway and a local IoT Hub in one program.
//
// Run "sluice --help" for what it can do; the work is in internal/cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"sluice/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default action is back, so that a second one
	// kills a program that does not end by itself.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
