package provision

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sluice/internal/atomicfile"
	"sluice/internal/sas"
	"sluice/iot"
)

// Limits of the HTTP server.
const (
	postTime  = 30 * time.Second
	idleTime  = 2 * time.Minute
	maxHeader = 16 << 10
	stopGrace = 3 * time.Second
)

// Serve takes Event Grid events on a listener, over TLS unless config is nil, until
// ctx ends or the listener fails. It closes the listener. See [Service.Handler].
func (s *Service) Serve(ctx context.Context, l net.Listener, config *tls.Config, code iot.Secret) error {
	server := &http.Server{
		Handler: s.Handler(code), ReadTimeout: postTime, WriteTimeout: postTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, TLSConfig: config,
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer done()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // they have had their time
		}
	})
	var err error
	if config == nil {
		err = server.Serve(l)
	} else {
		err = server.ServeTLS(l, "", "")
	}
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("provision: %w", err)
}

// codeFile is where the code is kept.
const codeFile = "code"

// Code returns the code that is kept in a directory, and makes one the first time. It
// is for the owner of the directory alone.
func Code(dir string) (iot.Secret, error) {
	if err := private(dir); err != nil {
		return "", err
	}
	path := filepath.Join(dir, codeFile)
	text, err := os.ReadFile(path)
	switch {
	case err == nil && strings.TrimSpace(string(text)) != "":
		return iot.Secret(strings.TrimSpace(string(text))), os.Chmod(path, 0o600)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	// Without the marks that a URL would have to escape.
	code := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(sas.NewKey().Reveal())
	return iot.Secret(code), atomicfile.Write(path, []byte(code+"\n"), 0o600)
}
