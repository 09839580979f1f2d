package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/hub/blob"
	"sluice/internal/hub/notices"
	"sluice/internal/hub/storage"
)

// IoT Hub's limits and defaults.
const (
	MaxActive        = 10        // uploads of one device that have not ended
	DefaultTTL       = time.Hour // of an address
	MinTTL           = time.Minute
	MaxTTL           = 24 * time.Hour
	DefaultContainer = "uploads" // ours
)

// Options say where files go. Account is required.
type Options struct {
	Account   blob.Account
	Container string       // "": DefaultContainer; made at the first upload if need be
	Client    *http.Client // for the hub's own questions; nil: http.DefaultClient

	TTL    time.Duration // of an address: MinTTL to MaxTTL; 0: DefaultTTL
	Silent bool          // tell nobody of files

	// NotificationTTL and Lock are those of notifications; 0: those of notices.
	NotificationTTL, Lock time.Duration

	Now func() time.Time // wall clock; nil: time.Now
	Log *slog.Logger     // nil discards
}

// Notification is what applications are told of a file, in IoT Hub's words.
type Notification struct {
	DeviceID     string    `json:"deviceId"`
	BlobURI      string    `json:"blobUri"`
	BlobName     string    `json:"blobName"`
	LastUpdated  time.Time `json:"lastUpdatedTime"`
	Size         int64     `json:"blobSizeInBytes"`
	EnqueuedTime time.Time `json:"enqueuedTimeUtc"`
}

// Time implements [notices.Record].
func (n Notification) Time() time.Time { return n.EnqueuedTime }

// A Store holds the uploads of one hub. Its methods may be called from any goroutine.
type Store struct {
	docs          storage.Documents
	opt           Options
	Notifications *notices.Queue[Notification]

	container atomic.Bool // it is there

	mu      sync.Mutex
	uploads map[string]map[string]*upload // by device and id
}

// upload is one that has not ended, in its form on disk.
type upload struct {
	Generation string    `json:"g"` // of the device
	Blob       string    `json:"b"`
	Expires    time.Time `json:"x"`
}

// The kinds of keys.
const (
	uploadKind       = 'u'
	notificationKind = 'v'
)

// Open reads the uploads that are in docs.
func Open(docs storage.Documents, opt Options) (*Store, error) {
	if opt.Container == "" {
		opt.Container = DefaultContainer
	}
	if opt.TTL == 0 {
		opt.TTL = DefaultTTL
	}
	if opt.TTL < MinTTL || opt.TTL > MaxTTL {
		return nil, fmt.Errorf("open files: addresses for %v: it may be %v to %v", opt.TTL, MinTTL, MaxTTL)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{docs: docs, opt: opt, uploads: map[string]map[string]*upload{}}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open files: %w", err)
	}
	var err error
	s.Notifications, err = notices.Open[Notification](docs, notices.Options{
		Kind: notificationKind, TTL: opt.NotificationTTL, Lock: opt.Lock, Now: opt.Now, Log: opt.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("open files: %w", err)
	}
	return s, nil
}

func (s *Store) load() error {
	return s.docs.Scan([]byte{uploadKind}, []byte{uploadKind + 1}, func(key, value []byte) (bool, error) {
		device, id, ok := bytes.Cut(key[1:], []byte{0})
		u := &upload{}
		if !ok {
			return false, errors.New("corrupt key of an upload")
		}
		if err := json.Unmarshal(value, u); err != nil {
			return false, fmt.Errorf("upload of %s: %w", device, err)
		}
		s.note(string(device), string(id), u)
		return true, nil
	})
}

func keyOf(device, id string) []byte {
	k := append([]byte{uploadKind}, device...)
	k = append(k, 0)
	return append(k, id...)
}

// note has an upload in memory. s.mu is held, or the store is being opened.
func (s *Store) note(device, id string, u *upload) {
	if s.uploads[device] == nil {
		s.uploads[device] = map[string]*upload{}
	}
	s.uploads[device][id] = u
}

// take forgets an upload. s.mu is held.
func (s *Store) take(device, id string) {
	delete(s.uploads[device], id)
	if len(s.uploads[device]) == 0 {
		delete(s.uploads, device)
	}
}

// Forget ends the uploads of a device that was deleted.
func (s *Store) Forget(device string) error {
	s.mu.Lock()
	delete(s.uploads, device)
	s.mu.Unlock()
	from := keyOf(device, "")
	return s.docs.Note(storage.Batch{{Key: from, To: append(bytes.Clone(from[:len(from)-1]), 1)}})
}

// sweepEvery is how often uploads that expired, and locks that ended, are looked for.
const sweepEvery = time.Second

// Run ends what expires until ctx ends.
func (s *Store) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.Notifications.Sweep()
			s.expire()
		}
	}
}

// expire forgets uploads whose address has expired. One that comes again after a crash
// is forgotten again, so nothing is synced.
func (s *Store) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now()
	for device, uploads := range s.uploads {
		for id, u := range uploads {
			if now.Before(u.Expires) {
				continue
			}
			if err := s.docs.Note(storage.Batch{{Key: keyOf(device, id)}}); err != nil {
				s.opt.Log.Error("an upload is kept: it could not be removed", "device", device, "err", err)
				return
			}
			s.take(device, id)
		}
	}
}
