package edge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/disk"
	"sluice/internal/mqtthead"
	"sluice/iot"
)

// sessions keeps the subscriptions of MQTT clients on disk. It implements
// [mqtthead.Sessions]; concurrent calls of Save share an fsync.
type sessions struct {
	db *disk.DB
}

var _ mqtthead.Sessions = (*sessions)(nil)

// openSessions opens the store in dir. fatal is called if its disk fails in a way
// after which it must not be used.
func openSessions(dir string, log *slog.Logger, fatal func(error)) (*sessions, error) {
	db, err := disk.OpenDB(dir, disk.Config{Name: "MQTT sessions", Log: log, Fatal: fatal, MaxOpenFiles: 32})
	if err != nil {
		return nil, err
	}
	return &sessions{db: db}, nil
}

// Load implements [mqtthead.Sessions].
func (s *sessions) Load(_ context.Context, id iot.Identity) (mqtthead.Subscriptions, error) {
	value, closer, err := s.db.Get([]byte(id.String()))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("load MQTT session: %w", err)
	}
	defer closer.Close() //nolint:errcheck // read-only
	if len(value) != 2 {
		return 0, fmt.Errorf("load MQTT session: %d bytes for %s, want 2", len(value), id)
	}
	return mqtthead.Subscriptions(binary.BigEndian.Uint16(value)), nil
}

// Save implements [mqtthead.Sessions]. What is as it was costs no write: most
// clients subscribe to the same each time they connect.
func (s *sessions) Save(ctx context.Context, id iot.Identity, subs mqtthead.Subscriptions) error {
	if old, err := s.Load(ctx, id); err == nil && old == subs {
		return nil
	}
	var err error
	if key := []byte(id.String()); subs == 0 {
		err = s.db.Delete(key, pebble.Sync)
	} else {
		err = s.db.Set(key, binary.BigEndian.AppendUint16(nil, uint16(subs)), pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("save MQTT session: %w", err)
	}
	return nil
}

func (s *sessions) close() error { return s.db.Close() }
