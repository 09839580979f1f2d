package host

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"sluice/internal/hub/blob"
	"sluice/internal/hub/files"
	"sluice/internal/hub/transfer"
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

// openBlobs opens what has to do with blobs: jobs that move identities, and files of
// devices, which go nowhere without an account.
func (s *store) openBlobs(cfg *Config) error {
	client, err := cfg.Storage.client()
	if err != nil {
		return err
	}
	if s.transfer, err = transfer.Open(s.docs, transfer.Options{Client: client, Now: cfg.Now, Log: cfg.Log}); err != nil {
		return err
	}
	if cfg.Storage.Account == "" {
		return nil
	}
	account, err := blob.ParseAccount(cfg.Storage.Account)
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	s.files, err = files.Open(s.docs, files.Options{
		Account: account, Container: cfg.Storage.Container, TTL: cfg.Storage.TTL, Client: client,
		Silent: cfg.Storage.Silent, Now: cfg.Now, Log: cfg.Log,
	})
	return err
}
