package hub

import (
	"context"

	"sluice/internal/hub/code"
	"sluice/internal/hub/files"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/throttle"
	"sluice/iot"
)

var _ iot.Files = (*Hub)(nil)

// BeginUpload returns where a device may put a file. Errors are those of
// [files.Store.Begin], and StorageNotConfigured.
func (h *Hub) BeginUpload(ctx context.Context, creds iot.Credentials, name string) (iot.Upload, error) {
	device, generation, err := h.uploader(creds)
	if err != nil {
		return iot.Upload{}, err
	}
	if err := h.throttled(throttle.Upload, 1, creds.Identity); err != nil {
		return iot.Upload{}, err
	}
	return h.opt.Files.Begin(ctx, device, generation, name)
}

// EndUpload says how an upload ended. Errors are those of [files.Store.End], and
// StorageNotConfigured.
func (h *Hub) EndUpload(ctx context.Context, creds iot.Credentials, result iot.UploadResult) error {
	device, generation, err := h.uploader(creds)
	if err != nil {
		return err
	}
	return h.opt.Files.End(ctx, device, generation, result)
}

// uploader is the device that creds prove, which may upload files.
func (h *Hub) uploader(creds iot.Credentials) (device, generation string, err error) {
	proof, err := h.auth.Authenticate(creds)
	id := creds.Identity
	switch {
	case err != nil:
		return "", "", err
	case id.IsModule():
		return "", "", code.Errorf(code.InvalidOperation, "files", id, "files are uploaded by devices, not by modules")
	case h.opt.Files == nil:
		return "", "", code.Errorf(code.StorageNotConfigured, "files", id, "no storage account belongs to this hub")
	}
	h.seen.note(id, h.opt.Now())
	return id.Device, proof.Registration.GenerationID, nil
}

// FileNotifications is what applications are told of files, or nil if there are none.
func (h *Hub) FileNotifications() storage.Notices[files.Notification] {
	if h.opt.Files == nil {
		return nil
	}
	return h.opt.Files.Notifications
}
