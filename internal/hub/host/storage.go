package host

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/hub/blob"
	"sluice/internal/hub/files"
	"sluice/internal/pki"
)

// Storage is the blob store that belongs to a hub.
type Storage struct {
	// Account is its connection string; "" for none. UseDevelopmentStorage=true is the
	// emulator on this machine.
	Account   string
	Container string        // for files of devices: [files.DefaultContainer]
	TTL       time.Duration // of an address that a device gets: [files.DefaultTTL]
	// CA is a file with the authorities that sign the store's certificate, instead of
	// those of the system: an emulator needs it.
	CA string
	// Silent tells applications of no files.
	Silent bool
}

// client is how the hub itself reaches blob stores.
func (s *Storage) client() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // nobody sets another
	if s.CA != "" {
		pool, err := pki.ReadPool(s.CA)
		if err != nil {
			return nil, fmt.Errorf("hub: authorities of the blob store: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	return &http.Client{Transport: transport}, nil
}

// openFiles opens the files of devices, or returns nil if they go nowhere.
func openFiles(db *pebble.DB, cfg *Config) (*files.Store, error) {
	if cfg.Storage.Account == "" {
		return nil, nil
	}
	account, err := blob.ParseAccount(cfg.Storage.Account)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	client, err := cfg.Storage.client()
	if err != nil {
		return nil, err
	}
	return files.Open(db, files.Options{
		Account: account, Container: cfg.Storage.Container, TTL: cfg.Storage.TTL, Client: client,
		Silent: cfg.Storage.Silent, Now: cfg.Now, Log: cfg.Log,
	})
}
