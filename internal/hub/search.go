package hub

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/query"
	"sluice/iot"
)

// Bounds of a query. A page that would be larger, or would take longer, ends
// early and has a continuation; it may be empty then.
const (
	MaxPage      = 1000             // results in one page
	maxPageBytes = 4 << 20          // of the results in one page, without the last
	maxWalk      = 10 * time.Second // for one page
	maxGroupWalk = 30 * time.Second // for a query with aggregates, which must see all rows
	searches     = 4                // queries at once; others wait
	checkEvery   = 256              // rows between looks at the clock
)

// A Page is a part of the results of a query.
type Page struct {
	Results []json.RawMessage
	Next    string // continuation; "" on the last page
}

// Query returns at most limit results of a query (0 or more than MaxPage:
// MaxPage), beginning where a Page before it ended, or with "" at the first. The
// rows are in the order of their ids.
//
// Errors carry a [code.Code]: ArgumentInvalid for a continuation that is of
// another query or none, Throttling if the query would make too many groups or
// walk for too long.
func (h *Hub) Query(ctx context.Context, q *query.Query, continuation string, limit int) (Page, error) {
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	at, err := parsePlace(q, continuation)
	if err != nil {
		return Page{}, err
	}
	if err := h.beginSearch(ctx); err != nil {
		return Page{}, err
	}
	defer h.endSearch()
	s := &search{h: h, q: q, at: at, limit: limit, clock: newClock(ctx)}
	if q.Aggregates() {
		return s.groups()
	}
	return s.page()
}

// beginSearch waits for a place among the queries that run. endSearch gives it
// back.
func (h *Hub) beginSearch(ctx context.Context) error {
	select {
	case h.searching <- struct{}{}:
		return nil
	case <-ctx.Done():
		return iot.Errorf(iot.Unavailable, "query", iot.Identity{}, "given up while it waited for others")
	}
}

func (h *Hub) endSearch() { <-h.searching }

// A place is where in the results of a query a page begins.
type place struct {
	Query string `json:"q"`           // which query it is of
	After string `json:"a,omitempty"` // key of the last row before
	Seen  int    `json:"n,omitempty"` // results before
}

func parsePlace(q *query.Query, continuation string) (at place, err error) {
	sum := sha256.Sum256([]byte(q.String()))
	name := base64.RawURLEncoding.EncodeToString(sum[:9])
	if continuation == "" {
		return place{Query: name}, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(continuation)
	if err == nil {
		err = json.Unmarshal(text, &at)
	}
	if err != nil || at.Query != name || at.Seen < 0 {
		return at, code.Errorf(code.ArgumentInvalid, "query", iot.Identity{}, "the continuation token is not one of this query")
	}
	return at, nil
}

func (p place) String() string {
	text, _ := json.Marshal(p) // texts and a number always marshal
	return base64.RawURLEncoding.EncodeToString(text)
}

// A search is one page of a query being made.
type search struct {
	h     *Hub
	q     *query.Query
	at    place
	limit int
	clock clock
}

// rows visits what the query reads, from the search's place on.
func (s *search) rows(visit func(key string, r query.Row) (more bool, err error)) error {
	if s.q.From() == query.Jobs {
		if s.h.opt.Jobs == nil {
			return nil
		}
		return s.h.opt.Jobs.Rows(s.at.After, visit)
	}
	ids, ok := s.q.DeviceIDs()
	if !ok {
		ids = nil
	} else if ids == nil {
		ids = []string{}
	}
	return s.h.twinRows(s.q.From(), ids, s.at.After, func(key string, r *row) (bool, error) { return visit(key, r) })
}

func (s *search) page() (p Page, err error) {
	p.Results = []json.RawMessage{}
	bytes := 0
	top, hasTop := s.q.Top()
	if hasTop {
		s.limit = min(s.limit, top-s.at.Seen)
	}
	if s.limit <= 0 {
		return p, nil
	}
	err = s.rows(func(key string, r query.Row) (bool, error) {
		if len(p.Results) == s.limit || bytes > maxPageBytes || s.clock.over(maxWalk) {
			p.Next = s.at.String()
			return false, s.clock.ctx.Err()
		}
		s.at.After = key
		if !s.q.Match(r) {
			return true, nil
		}
		result, err := s.q.AppendResult(nil, r)
		p.Results = append(p.Results, result)
		bytes += len(result)
		s.at.Seen++
		return true, err
	})
	if hasTop && s.at.Seen >= top {
		p.Next = ""
	}
	return p, err
}

// groups makes all results of a query with aggregates, and returns a page of
// them.
func (s *search) groups() (Page, error) {
	all := s.q.Group()
	err := s.rows(func(_ string, r query.Row) (bool, error) {
		if s.clock.over(maxGroupWalk) {
			return false, code.Errorf(code.Throttling, "query", iot.Identity{}, "it takes longer than %v: ask for fewer devices", maxGroupWalk)
		}
		if !s.q.Match(r) {
			return true, nil
		}
		return true, all.Add(r)
	})
	if err != nil {
		return Page{}, err
	}
	results := all.Results()
	if top, ok := s.q.Top(); ok {
		results = results[:min(top, len(results))]
	}
	results = results[min(s.at.Seen, len(results)):]
	if len(results) <= s.limit {
		return Page{Results: results}, nil
	}
	s.at.Seen += s.limit
	return Page{Results: results[:s.limit], Next: s.at.String()}, nil
}

// Count is how many rows meet the condition of a query.
func (h *Hub) Count(ctx context.Context, q *query.Query) (n int, err error) {
	if err := h.beginSearch(ctx); err != nil {
		return 0, err
	}
	defer h.endSearch()
	s := &search{h: h, q: q, clock: newClock(ctx)}
	err = s.rows(func(_ string, r query.Row) (bool, error) {
		if s.clock.over(maxGroupWalk) {
			return false, code.Errorf(code.Throttling, "query", iot.Identity{}, "it takes longer than %v", maxGroupWalk)
		}
		if q.Match(r) {
			n++
		}
		return true, nil
	})
	return n, err
}

// Matching visits the identities whose twins a query finds, in order, and ends
// with an error of visit, or when ctx does.
func (h *Hub) Matching(ctx context.Context, q *query.Query, visit func(iot.Identity) error) error {
	s := &search{h: h, q: q}
	return s.rows(func(_ string, r query.Row) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if twin, ok := r.(*row); ok && q.Match(r) {
			return true, visit(twin.entry.Identity)
		}
		return true, nil
	})
}

// A clock bounds a walk over many rows.
type clock struct {
	ctx   context.Context //nolint:containedctx // lives as long as one call
	begun time.Time
	rows  int
}

func newClock(ctx context.Context) clock { return clock{ctx: ctx, begun: time.Now()} }

// over reports whether the caller has gone or the time is up. It looks at the
// clock now and then.
func (c *clock) over(limit time.Duration) bool {
	c.rows++
	return c.rows%checkEvery == 0 && (c.ctx.Err() != nil || time.Since(c.begun) > limit)
}
