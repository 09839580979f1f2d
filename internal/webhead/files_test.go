package webhead

import (
	"context"
	"errors"

	"sluice/internal/hub/code"
	"sluice/iot"
)

var _ iot.Files = (*fakeHub)(nil)

func (h *fakeHub) BeginUpload(_ context.Context, creds iot.Credentials, name string) (iot.Upload, error) {
	h.note("! begin upload %v %s %q", creds.Identity, proofText(creds), name)
	switch name {
	case "refused":
		return iot.Upload{}, code.Errorf(code.TooManyUploads, "files", creds.Identity, "10 of them; no more")
	case "away":
		return iot.Upload{}, &iot.Error{Kind: iot.Unavailable, Op: "files", Err: errors.New("away")}
	}
	return iot.Upload{ID: "1", Host: "store/account", Container: "c", Blob: "dev1/" + name, Token: "?sv=1&sig=%2B"}, nil
}

func (h *fakeHub) EndUpload(_ context.Context, creds iot.Credentials, r iot.UploadResult) error {
	h.note("! end upload %v %s %q %v %d %q", creds.Identity, proofText(creds), r.ID, r.Success, r.Status, r.Description)
	return nil
}
