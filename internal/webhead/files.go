package webhead

import (
	"bytes"
	"encoding/json"
	"net/http"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// maxFile bounds the bodies of file uploads, which are about a file, in bytes.
const maxFile = 16 << 10

// beginUpload tells a device where to put a file. Old SDKs name it in the path.
func (c *call) beginUpload() (answer, error) {
	creds, files, err := c.uploader()
	if err != nil {
		return answer{}, err
	}
	name := c.vars.blob
	if name == "" {
		if name, err = c.blobName(); err != nil {
			return answer{}, err
		}
	}
	ctx, cancel := c.operate()
	defer cancel()
	upload, err := files.BeginUpload(ctx, creds, name)
	if err != nil {
		return answer{}, c.sessionError(err)
	}
	var body bytes.Buffer
	form := json.NewEncoder(&body)
	form.SetEscapeHTML(false)
	err = form.Encode(map[string]string{
		"correlationId": upload.ID, "hostName": upload.Host, "containerName": upload.Container,
		"blobName": upload.Blob, "sasToken": upload.Token.Reveal(),
	})
	if err != nil {
		return answer{}, iot.Errorf(iot.Internal, "files", c.id, "the answer is no JSON: %v", err)
	}
	return answer{status: http.StatusOK, contentType: "application/json; charset=utf-8", body: body.Bytes()}, nil
}

// uploader is the proof of a device, and whom it is shown to.
func (c *call) uploader() (iot.Credentials, iot.Files, error) {
	if c.opt.Files == nil {
		return iot.Credentials{}, nil, code.Errorf(code.StorageNotConfigured, "files", c.id, "no storage account belongs to this hub")
	}
	creds, err := c.credentials()
	return creds, c.opt.Files, err
}

func (c *call) blobName() (name string, err error) {
	text, err := c.readJSON(maxFile)
	if err != nil {
		return "", err
	}
	err = c.fields(text, func(field string, value json.RawMessage) error {
		if field == "blobName" && json.Unmarshal(value, &name) != nil {
			return c.malformed("blobName is not a text")
		}
		return nil
	})
	return name, err
}

// endUpload takes what a device says of an upload. Old SDKs name it in the path.
func (c *call) endUpload() (answer, error) {
	creds, files, err := c.uploader()
	if err != nil {
		return answer{}, err
	}
	result, err := c.uploadResult()
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := c.operate()
	defer cancel()
	if err := files.EndUpload(ctx, creds, result); err != nil {
		return answer{}, c.sessionError(err)
	}
	return answer{}, nil
}

func (c *call) uploadResult() (result iot.UploadResult, err error) {
	text, err := c.readJSON(maxFile)
	if err != nil {
		return result, err
	}
	said := false
	err = c.fields(text, func(field string, value json.RawMessage) error {
		var err error
		switch field {
		case "correlationId":
			err = json.Unmarshal(value, &result.ID)
		case "isSuccess":
			err = json.Unmarshal(value, &result.Success)
			said = err == nil && string(value) != "null"
		case "statusCode":
			err = json.Unmarshal(value, &result.Status)
		case "statusDescription":
			err = json.Unmarshal(value, &result.Description)
		}
		if err != nil {
			return c.malformed("%s is not what it must be", field)
		}
		return nil
	})
	if err == nil && !said {
		err = code.Errorf(code.InvalidUploadStatus, "files", c.id, "isSuccess is neither true nor false")
	}
	if c.vars.correlation != "" {
		result.ID = c.vars.correlation
	}
	return result, err
}
