package rest

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"sluice/internal/hub"
	"sluice/internal/hub/code"
	"sluice/internal/hub/query"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// maxQuery bounds the body of a query, in bytes: its text may all be escapes.
const maxQuery = 6*query.MaxLength + 1<<10

// Headers of queries. IoT Hub has no others for what comes in pages.
const (
	continuationHeader = "X-Ms-Continuation"
	pageSizeHeader     = "X-Ms-Max-Item-Count"
	itemTypeHeader     = "X-Ms-Item-Type"
)

// Queries are asked of a hub.
type Queries interface {
	Query(ctx context.Context, q *query.Query, continuation string, limit int) (hub.Page, error)
	Count(ctx context.Context, q *query.Query) (int, error)
}

func (a *api) queryRoutes(h Hub) []route {
	if _, alone := h.(empty); alone {
		return nil
	}
	return []route{
		{method: http.MethodPost, path: "/devices/query", right: storage.ServiceConnect, handle: runQuery},
	}
}

// runQuery answers a page of a query.
func runQuery(c *call) (answer, error) {
	var body struct {
		Query string `json:"query"`
	}
	if err := c.read(maxQuery, &body); err != nil {
		return answer{}, err
	}
	q, err := parseQuery(body.Query)
	if err != nil {
		return answer{}, err
	}
	page, err := c.Hub.Query(c.r.Context(), q, c.r.Header.Get(continuationHeader), c.pageSize())
	if err != nil {
		return answer{}, err
	}
	header := http.Header{}
	header.Set(itemTypeHeader, itemType(q))
	if page.Next != "" {
		header.Set(continuationHeader, page.Next)
	}
	return answer{body: page.Results, header: header}, nil
}

// parseQuery reads a query; its error tells the caller what is wrong with it, and
// where.
func parseQuery(text string) (*query.Query, error) {
	if text == "" {
		return nil, code.Errorf(code.ArgumentNull, "query", iot.Identity{}, "the body has no query")
	}
	q, err := query.Parse(text)
	return q, explained(err)
}

// explained is an error of the query language with its words for the caller.
func explained(err error) error {
	var wrong *query.Error
	if errors.As(err, &wrong) {
		return code.Errorf(code.ArgumentInvalid, "query", iot.Identity{}, "%v", wrong)
	}
	return err
}

// pageSize is how many results the caller wants at once. As in the service it is
// a wish: what is no number is none.
func (c *call) pageSize() int {
	n, err := strconv.Atoi(c.r.Header.Get(pageSizeHeader))
	if err != nil {
		return 0
	}
	return n
}

// itemType says what the results are, in words that SDKs know.
func itemType(q *query.Query) string {
	switch {
	case !q.All():
		return "Raw"
	case q.From() == query.Jobs:
		return "DeviceJob"
	}
	return "Twin"
}
