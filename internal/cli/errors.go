package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"sluice/iot"
)

// Exit is the status that the program ends with. Scripts may rely on it; a
// status that is not listed here means failure.
type Exit int

// The exit statuses.
const (
	ExitOK          Exit = 0   // done
	ExitFailed      Exit = 1   // it did not work, for a reason that is none of those below
	ExitUsage       Exit = 2   // the command line cannot be right; nothing was done
	ExitRefused     Exit = 3   // the hub answered: not found, not allowed, in conflict, invalid
	ExitUnreachable Exit = 4   // no connection, or none that can be trusted
	ExitInterrupted Exit = 130 // ended by a signal before it was done
)

// failure is an error with the exit status that it asks for and a hint for the
// person who reads it. Either may be missing: a zero status is found from err.
type failure struct {
	err  error
	exit Exit
	hint string
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// usagef makes the error of a command line that cannot be right.
func usagef(format string, args ...any) error {
	return &failure{err: fmt.Errorf(format, args...), exit: ExitUsage}
}

// withHint adds to err one line that says what to do about it. It keeps err's
// exit status.
func withHint(err error, format string, args ...any) error {
	return &failure{err: err, hint: fmt.Sprintf(format, args...)}
}

// withExit makes err end the program with the given status.
func withExit(err error, status Exit) error {
	return &failure{err: err, exit: status}
}

// exitOf is the status that err asks for. What the network and the hub said is
// recognised wherever it stands in the chain.
func exitOf(ctx context.Context, err error) Exit {
	if err == nil {
		return ExitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ExitInterrupted
	}
	if status := askedExit(err); status != ExitOK {
		return status
	}
	switch {
	case unreachable(err):
		return ExitUnreachable
	case refused(err):
		return ExitRefused
	}
	return ExitFailed
}

// askedExit is the status of the outermost failure that has one.
func askedExit(err error) Exit {
	for err != nil {
		var f *failure
		if !errors.As(err, &f) {
			break
		}
		if f.exit != ExitOK {
			return f.exit
		}
		err = f.err
	}
	return ExitOK
}

// hintOf is the outermost hint in err's chain.
func hintOf(err error) string {
	for err != nil {
		var f *failure
		if !errors.As(err, &f) {
			break
		}
		if f.hint != "" {
			return f.hint
		}
		err = f.err
	}
	return networkHint(err)
}

func unreachable(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	return errors.As(err, &dns) || errors.As(err, &cert)
}

// refused reports whether a hub said no. A hub that is not available has not.
func refused(err error) bool {
	var e *iot.Error
	return errors.As(err, &e) && e.Kind != iot.Internal && !e.Kind.Retryable()
}

// report prints err the way every command does.
func report(w io.Writer, err error) {
	fmt.Fprintf(w, "sluice: %v\n", err)
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(w, "  hint: %s\n", hint)
	}
}
