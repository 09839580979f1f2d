package files

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sluice/internal/hub/blob"
	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// maxName is how long the name of a blob may be, in characters.
const maxName = 1024

// Begin notes an upload of a device of this generation, and returns where its file
// goes. Errors carry a [code.Code]: ArgumentInvalid, TooManyUploads, InvalidStorage.
func (s *Store) Begin(ctx context.Context, device, generation, name string) (iot.Upload, error) {
	id := iot.DeviceIdentity(device)
	if err := checkName(id, name); err != nil {
		return iot.Upload{}, err
	}
	if err := s.makeContainer(ctx, id); err != nil {
		return iot.Upload{}, err
	}
	expires := s.opt.Now().Add(s.opt.TTL)
	u := &upload{Generation: generation, Blob: device + "/" + name, Expires: expires}
	uploadID := newID(expires)
	if err := s.reserve(id, uploadID, u); err != nil {
		return iot.Upload{}, err
	}
	value, err := json.Marshal(u)
	if err == nil {
		err = s.docs.Write(storage.Batch{{Key: keyOf(device, uploadID), Value: value}})
	}
	if err != nil {
		s.mu.Lock()
		s.take(device, uploadID)
		s.mu.Unlock()
		return iot.Upload{}, unstored(id, err)
	}
	return iot.Upload{
		ID: uploadID, Host: s.opt.Account.Host(), Container: s.opt.Container, Blob: u.Blob,
		Token: iot.Secret("?" + s.opt.Account.SignBlob(s.opt.Container, u.Blob, blob.ReadWrite, expires)),
	}, nil
}

// checkName refuses what no blob can be called, and what the URLs of some clients
// would make another blob of.
func checkName(id iot.Identity, name string) error {
	length := utf8.RuneCountInString(id.Device + "/" + name)
	switch {
	case name == "":
		return code.Errorf(code.ArgumentNull, "files", id, "there is no blobName")
	case length > maxName:
		return code.Errorf(code.ArgumentInvalid, "files", id, "the blob's name has %d characters; at most %d", length, maxName)
	case !utf8.ValidString(name), strings.ContainsFunc(name, unicode.IsControl):
		return code.Errorf(code.ArgumentInvalid, "files", id, "the blob's name has characters that no name has")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "." || part == ".." {
			return code.Errorf(code.ArgumentInvalid, "files", id, "a part of the blob's name is %q", part)
		}
	}
	return nil
}

// storeTime is how long the hub waits for the blob store while a device waits for the
// hub.
const storeTime = 15 * time.Second

// makeContainer makes the container, once.
func (s *Store) makeContainer(ctx context.Context, id iot.Identity) error {
	if s.container.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	if err := s.open().Create(ctx); err != nil {
		return s.refused(id, err)
	}
	s.container.Store(true)
	return nil
}

func (s *Store) open() *blob.Container {
	return s.opt.Account.Container(s.opt.Container, s.opt.Now(), s.opt.Client)
}

// refused is the error of the blob store as a device hears it.
func (s *Store) refused(id iot.Identity, err error) error {
	s.opt.Log.Warn("the blob store does not do what the hub asks", "device", id.Device, "err", err)
	var e *blob.Error
	if errors.As(err, &e) && e.Status < 500 {
		s.container.Store(false) // it may be gone: the next upload makes it again
		return code.Errorf(code.InvalidStorage, "files", id, "%v", e)
	}
	return &iot.Error{Kind: iot.Unavailable, Op: "files", Identity: id, Err: err}
}

// newID names an upload. IoT Hub's name too begins with a time and is base64 text.
func newID(expires time.Time) string {
	return base64.URLEncoding.EncodeToString([]byte(expires.UTC().Format(timeForm) + "_" + rand.Text()))
}

const timeForm = "20060102150405"

// expired reports whether id is that of an upload whose time was over by now.
func expired(id string, now time.Time) bool {
	text, err := base64.URLEncoding.DecodeString(id)
	if err != nil || len(text) < len(timeForm) {
		return false
	}
	at, err := time.Parse(timeForm, string(text[:len(timeForm)]))
	return err == nil && !now.Before(at)
}

// reserve has an upload in memory, if the device may begin another.
func (s *Store) reserve(id iot.Identity, uploadID string, u *upload) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, active := s.opt.Now(), 0
	for _, other := range s.uploads[id.Device] {
		if now.Before(other.Expires) && other.Generation == u.Generation {
			active++
		}
	}
	if active >= MaxActive {
		return code.Errorf(code.TooManyUploads, "files", id, "%d uploads of the device have not ended, the limit", active)
	}
	s.note(id.Device, uploadID, u)
	return nil
}

// End ends an upload of a device of this generation. Errors carry a [code.Code]:
// UnknownUpload, ExpiredUpload, or InvalidStorage if the file is not there.
func (s *Store) End(ctx context.Context, device, generation string, result iot.UploadResult) error {
	id := iot.DeviceIdentity(device)
	u, err := s.find(id, generation, result.ID)
	if err != nil {
		return err
	}
	var told []Notification
	if result.Success {
		n, err := s.look(ctx, id, u)
		if err != nil {
			return err
		}
		if !s.opt.Silent {
			told = append(told, n)
		}
	}
	s.mu.Lock()
	if s.uploads[device][result.ID] != u {
		s.mu.Unlock()
		return unknown(id)
	}
	s.take(device, result.ID)
	s.mu.Unlock()
	if err := s.settle(device, result.ID, told); err != nil {
		s.mu.Lock()
		s.note(device, result.ID, u)
		s.mu.Unlock()
		return unstored(id, err)
	}
	return nil
}

func (s *Store) find(id iot.Identity, generation, uploadID string) (*upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[id.Device][uploadID]
	now := s.opt.Now()
	switch {
	case u != nil && u.Generation == generation && now.Before(u.Expires):
		return u, nil
	case uploadID == "":
		return nil, code.Errorf(code.ArgumentNull, "files", id, "there is no correlationId")
	case expired(uploadID, now):
		return nil, code.Errorf(code.ExpiredUpload, "files", id, "the upload had to end before its address expired")
	}
	return nil, unknown(id)
}

// look finds out about the file of an upload.
func (s *Store) look(ctx context.Context, id iot.Identity, u *upload) (Notification, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	facts, err := s.open().Stat(ctx, u.Blob)
	if err != nil {
		return Notification{}, s.refused(id, err)
	}
	return Notification{
		DeviceID: id.Device, BlobURI: s.address(u.Blob), BlobName: u.Blob,
		LastUpdated: facts.Modified.UTC(), Size: facts.Size, EnqueuedTime: s.opt.Now().UTC().Truncate(100), // as .NET reads it
	}, nil
}

// address is that of a blob, without what allows its use.
func (s *Store) address(name string) string {
	u := url.URL{Scheme: s.opt.Account.Endpoint.Scheme, Host: s.opt.Account.Endpoint.Host}
	u.Path = s.opt.Account.Endpoint.Path + "/" + s.opt.Container + "/" + name
	return u.String()
}

// settle ends an upload on disk, and tells of its file.
func (s *Store) settle(device, uploadID string, told []Notification) error {
	var b storage.Batch
	entries, err := s.Notifications.Add(&b, slices.Clip(told)...)
	if err == nil {
		b.Delete(keyOf(device, uploadID))
		err = s.docs.Write(b)
	}
	if err != nil {
		return err
	}
	s.Notifications.Show(entries)
	return nil
}

func unknown(id iot.Identity) error {
	return code.Errorf(code.UnknownUpload, "files", id, "the device has no such upload, or it has ended")
}

func unstored(id iot.Identity, err error) error {
	return &iot.Error{Kind: iot.Internal, Op: "files", Identity: id, Detail: "could not be stored", Err: err}
}
