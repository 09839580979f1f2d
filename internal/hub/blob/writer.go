package blob

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
)

// blockSize is how much of a blob is written at a time, in bytes. A blob has at most
// 50,000 blocks.
const blockSize = 4 << 20

// A Writer writes one blob, piece by piece. Nothing is seen of it before Commit.
type Writer struct {
	c      *Container
	blob   string
	buf    bytes.Buffer
	blocks int
}

// Write begins a blob, which replaces one of the same name when it is committed. A
// writer that is given up needs no end.
func (c *Container) Write(blob string) *Writer { return &Writer{c: c, blob: blob} }

// Append adds to the blob.
func (w *Writer) Append(ctx context.Context, p []byte) error {
	w.buf.Write(p)
	for w.buf.Len() >= blockSize {
		if err := w.put(ctx, w.buf.Next(blockSize)); err != nil {
			return err
		}
	}
	return nil
}

// put writes one block.
func (w *Writer) put(ctx context.Context, block []byte) error {
	resp, err := w.c.do(ctx, http.MethodPut, w.blob, url.Values{"comp": {"block"}, "blockid": {blockID(w.blocks)}}, nil, block)
	if err := finish(resp, err); err != nil {
		return err
	}
	w.blocks++
	return nil
}

// Commit ends the blob. When it returns nil the blob is there.
func (w *Writer) Commit(ctx context.Context) error {
	if w.buf.Len() > 0 {
		if err := w.put(ctx, w.buf.Bytes()); err != nil {
			return err
		}
		w.buf.Reset()
	}
	var list bytes.Buffer
	list.WriteString(`<?xml version="1.0" encoding="utf-8"?><BlockList>`)
	for n := range w.blocks {
		fmt.Fprintf(&list, "<Latest>%s</Latest>", blockID(n))
	}
	list.WriteString("</BlockList>")
	header := http.Header{"X-Ms-Blob-Content-Type": {"text/plain; charset=utf-8"}}
	return finish(w.c.do(ctx, http.MethodPut, w.blob, url.Values{"comp": {"blocklist"}}, header, list.Bytes()))
}

// blockID names a block; all names have the same length, as they must.
func blockID(n int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%08d", n))
}
