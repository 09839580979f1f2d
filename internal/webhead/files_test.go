package webhead

import (
	"context"
	"errors"

	"sluice/internal/hub/code"
	"sluice/internal/iottest"
	"sluice/iot"
)

// A fileHub is a hub that takes files.
type fileHub struct{ *iottest.Hub }

var _ iot.Files = fileHub{}

func (h fileHub) BeginUpload(_ context.Context, creds iot.Credentials, name string) (iot.Upload, error) {
	h.Note("! begin upload %v %s %q", creds.Identity, iottest.Proof(creds), name)
	switch name {
	case "refused":
		return iot.Upload{}, code.Errorf(code.TooManyUploads, "files", creds.Identity, "10 of them; no more")
	case "away":
		return iot.Upload{}, &iot.Error{Kind: iot.Unavailable, Op: "files", Err: errors.New("away")}
	}
	return iot.Upload{ID: "1", Host: "store/account", Container: "c", Blob: "dev1/" + name, Token: "?sv=1&sig=%2B"}, nil
}

func (h fileHub) EndUpload(_ context.Context, creds iot.Credentials, r iot.UploadResult) error {
	h.Note("! end upload %v %s %q %v %d %q", creds.Identity, iottest.Proof(creds), r.ID, r.Success, r.Status, r.Description)
	return nil
}
