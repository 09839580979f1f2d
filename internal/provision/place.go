package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// How often a list is looked at. A file costs a stat, a URL a request that is
// answered with 304 while nothing changes.
const (
	fileEvery = 2 * time.Second
	urlEvery  = 30 * time.Second
)

// urlTimeout bounds one download of a list.
const urlTimeout = 20 * time.Second

// Allow is an allow list that is kept up to date with its file or URL. Its methods
// may be called from any goroutine.
type Allow struct {
	from  place
	every time.Duration
	log   *slog.Logger
	list  atomic.Pointer[List]
}

// A place is where a list is kept.
type place interface {
	// read returns the text of the list, or errUnchanged if it is what it was when
	// read last returned it.
	read(ctx context.Context) ([]byte, error)
	// String names the place, without what is secret in it.
	String() string
}

var errUnchanged = errors.New("unchanged")

// OpenAllow reads the list at a file, or at a URL with http or https, such as that of
// a blob with a shared access signature. A list that cannot be read, or is wrong, is an
// error now; later, in Watch, the one before stays in force.
func OpenAllow(ctx context.Context, at string, log *slog.Logger) (*Allow, error) {
	a := &Allow{from: &file{path: at}, every: fileEvery, log: log}
	if strings.HasPrefix(at, "http://") || strings.HasPrefix(at, "https://") {
		u, err := url.Parse(at)
		if err != nil {
			return nil, errors.New("allow list: the URL cannot be read") // it may hold a signature
		}
		a.from, a.every = &blob{url: u, client: &http.Client{Timeout: urlTimeout}}, urlEvery
	}
	if err := a.refresh(ctx); err != nil {
		return nil, fmt.Errorf("allow list %s: %w", a.from, err)
	}
	return a, nil
}

// Find tells how an id stands in the list.
func (a *Allow) Find(id string) Listing { return a.list.Load().Find(id) }

// Len is the number of entries of the list.
func (a *Allow) Len() int { return a.list.Load().Len() }

// Watch keeps the list up to date until ctx ends.
func (a *Allow) Watch(ctx context.Context) {
	tick := time.NewTicker(a.every)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := a.refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errUnchanged):
		case err == nil:
			said = ""
			a.log.Info("the allow list has changed", "list", a.from.String(), "entries", a.Len())
		case err.Error() != said:
			said = err.Error()
			a.log.Error("the allow list is not taken; the one before stays in force", "list", a.from.String(), "err", err)
		}
	}
}

func (a *Allow) refresh(ctx context.Context) error {
	text, err := a.from.read(ctx)
	if err != nil {
		return err
	}
	list, err := ParseList(text)
	if err != nil {
		return err
	}
	a.list.Store(list)
	return nil
}

// file is a list on this machine. A change is read when two looks in a row have found
// the same: an editor that writes in place leaves a file that is empty, and then one
// that is not whole, before it is done, and an empty list lets nobody in.
type file struct {
	path      string
	last      stamp // of what was read
	candidate stamp // of what the last look found
}

// stamp is what tells that a file has changed.
type stamp struct {
	size int64
	mod  time.Time
}

func (f *file) String() string { return f.path }

func (f *file) read(context.Context) ([]byte, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		f.last = stamp{size: -1} // it is read when it is there again
		return nil, err
	}
	now := stamp{info.Size(), info.ModTime()}
	settled := now == f.candidate || f.last == stamp{}
	f.candidate = now
	if now == f.last || !settled {
		return nil, errUnchanged
	}
	if now.size > MaxList {
		return nil, ErrListSize
	}
	text, err := os.ReadFile(f.path)
	if err == nil {
		f.last = now
	}
	return text, err
}

// blob is a list that a server has.
type blob struct {
	url    *url.URL
	client *http.Client
	etag   string
}

// String leaves out the query, which is where a signature stands, and a password.
func (b *blob) String() string {
	return (&url.URL{Scheme: b.url.Scheme, Host: b.url.Host, Path: b.url.Path}).String()
}

func (b *blob) read(ctx context.Context) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url.String(), nil)
	if err != nil {
		return nil, errors.New("the URL cannot be read")
	}
	if b.etag != "" {
		r.Header.Set("If-None-Match", b.etag)
	}
	resp, err := b.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL
		}
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end, or given up
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotModified:
		return nil, errUnchanged
	default:
		return nil, fmt.Errorf("the server answers %s", resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, MaxList+1))
	if err != nil {
		return nil, err
	}
	b.etag = resp.Header.Get("ETag")
	return text, nil
}
