package service

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"sluice/internal/hubevent"
)

// A hub that is killed, or gives up a reader that is too slow, does not stop at
// the end of a line.
func TestEventsGoOnWhereALineWasCut(t *testing.T) {
	const first, second = `{"partition":0,"sequenceNumber":0}`, `{"partition":0,"sequenceNumber":1}`
	for cut := range len(second) {
		t.Run(fmt.Sprintf("after %d bytes", cut), func(t *testing.T) {
			var from []string
			c, _ := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				from = append(from, r.URL.Query().Get("from"))
				w.Header().Set(positionsHeader, "0:"+fmt.Sprint(len(from)-1))
				if len(from) == 1 {
					fmt.Fprint(w, first+"\n"+second[:cut])
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
				fmt.Fprintln(w, second)
			})
			enough := errors.New("enough")
			var got []uint64
			err := c.Events(t.Context(), EventQuery{From: "start", Follow: true}, func(e *hubevent.Event) error {
				got = append(got, e.Sequence)
				if len(got) == 2 {
					return enough
				}
				return nil
			}, nil)
			if !errors.Is(err, enough) || !slices.Equal(got, []uint64{0, 1}) || !slices.Equal(from, []string{"start", "0:1"}) {
				t.Errorf("got events %v, asked from %q: %v", got, from, err)
			}
		})
	}
}
