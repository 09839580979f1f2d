package gateway

import (
	"context"
	"strings"

	"sluice/internal/sas"
	"sluice/iot"
)

var _ iot.Files = (*Gateway)(nil)

// BeginUpload asks the hub, on behalf of a device, where a file goes. Unavailable: the
// hub is away, and nobody else can say.
func (g *Gateway) BeginUpload(ctx context.Context, creds iot.Credentials, name string) (iot.Upload, error) {
	files, creds, err := g.filesAbove(ctx, creds)
	if err != nil {
		return iot.Upload{}, err
	}
	return files.BeginUpload(ctx, creds, name)
}

// EndUpload tells the hub, on behalf of a device, how an upload ended. Unavailable: the
// hub is away; the device is to say it again.
func (g *Gateway) EndUpload(ctx context.Context, creds iot.Credentials, result iot.UploadResult) error {
	files, creds, err := g.filesAbove(ctx, creds)
	if err != nil {
		return err
	}
	return files.EndUpload(ctx, creds, result)
}

// filesAbove is whom the gateway asks about files, and what it shows there.
func (g *Gateway) filesAbove(ctx context.Context, creds iot.Credentials) (iot.Files, iot.Credentials, error) {
	if err := g.judge(ctx, creds); err != nil {
		return nil, creds, err
	}
	files, ok := g.opt.Parent.(iot.Files)
	switch {
	case !ok:
		return nil, creds, iot.Errorf(iot.Invalid, "files", creds.Identity, "the hub takes no files")
	case !g.Online():
		return nil, creds, iot.Errorf(iot.Unavailable, "files", creds.Identity, "the hub is away, and only it knows where files go")
	case g.isForHub(creds.Token):
		return files, creds, nil
	}
	creds, _, err := g.own.behalf(creds.Identity, g.above(creds.Identity))
	return files, creds, err
}

// judge decides about a proof, as Connect does.
func (g *Gateway) judge(ctx context.Context, creds iot.Credentials) error {
	_, err := g.auth.Authenticate(creds)
	if err != nil && g.Online() && creds.Identity.Validate() == nil && g.scope.Lookup(ctx, creds.Identity) {
		_, err = g.auth.Authenticate(creds)
	}
	return err
}

// isForHub reports whether a token was signed by a device for the hub. It is shown
// there as it is, as Azure's knows nobody who may ask for another. Others are the
// gateway's to vouch for: certificates, and what names the gateway or one below it.
func (g *Gateway) isForHub(text string) bool {
	token, err := sas.Parse(text)
	return err == nil && token.Resource.Identity.Module != iot.EdgeHubModule && strings.EqualFold(token.Resource.Host, g.opt.HubHost)
}
