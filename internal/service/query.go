package service

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"sluice/iot"
)

// maxQueryPage is how many results a page has at most.
const maxQueryPage = 1000

// Query runs a query in the language of IoT Hub and calls result for each result,
// page by page, as they come; limit bounds them, 0 is all. It ends early with an
// error of result.
func (c *Client) Query(ctx context.Context, text string, limit int, result func(json.RawMessage) error) error {
	shown, after := 0, ""
	for {
		page, next, err := c.queryPage(ctx, text, pageOf(limit, shown), after)
		if err != nil {
			return err
		}
		for _, r := range page {
			if limit > 0 && shown == limit {
				return nil
			}
			shown++
			if err := result(r); err != nil {
				return err
			}
		}
		if next == "" || limit > 0 && shown >= limit {
			return nil
		}
		if next == after && len(page) == 0 {
			return iot.Errorf(iot.Internal, "query", iot.Identity{}, "the hub does not go on")
		}
		after = next
	}
}

func pageOf(limit, shown int) int {
	if limit == 0 {
		return maxQueryPage
	}
	return min(limit-shown, maxQueryPage)
}

func (c *Client) queryPage(ctx context.Context, text string, size int, after string) (page []json.RawMessage, next string, err error) {
	r := &request{
		op: "query", method: http.MethodPost, path: "/devices/query",
		in:  map[string]string{"query": text},
		out: &page,
		header: http.Header{
			"X-Ms-Max-Item-Count": {strconv.Itoa(size)},
		},
	}
	if after != "" {
		r.header.Set(continuation, after)
	}
	err = c.do(ctx, r)
	return page, r.response.Get(continuation), err
}
