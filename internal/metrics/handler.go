package metrics

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sluice/internal/gateway"
)

// Handler answers for a gateway.
func Handler(src Source) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", figures(newCollector(src, rand.Text())))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, HealthOf(src)) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, HealthOf(src)) })
	return mux
}

// figures answers with what c collects, and with the process's own.
func figures(c prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Health is what /health says.
type Health struct {
	// Ready says that messages are taken. The hub need not be there for that.
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason,omitempty"` // why not
	Uplink  string `json:"uplink"`           // "up" or "down"
	Clients int    `json:"clients"`
	Spool   Spool  `json:"spool"`
}

// Spool is what waits.
type Spool struct {
	Waiting     uint64 `json:"waiting"` // messages for the hub
	Bytes       int64  `json:"bytes"`   // of all that waits
	DiskBytes   uint64 `json:"diskBytes"`
	DeadLetters int    `json:"deadLetters"`
}

// HealthOf looks at a gateway.
func HealthOf(src Source) Health {
	stats := src.Spool.Stats()
	h := Health{
		Uplink:  "down",
		Clients: src.Gateway.Clients(),
		Spool: Spool{
			Waiting:     src.Spool.Queue(gateway.UpstreamQueue).Stats().Records,
			Bytes:       stats.Bytes,
			DiskBytes:   stats.Disk,
			DeadLetters: src.Spool.DeadStats().Letters,
		},
	}
	if src.Gateway.Online() {
		h.Uplink = "up"
	}
	limit := src.Gateway.MaxBytes()
	switch err := src.Spool.Err(); {
	case err != nil:
		h.Reason = "the disk failed: " + err.Error()
	case stats.Refusing:
		h.Reason = "no space left on disk"
	case limit > 0 && stats.Bytes >= limit:
		h.Reason = "the size limit is reached"
	default:
		h.Ready = true
	}
	return h
}

func answerHealth(w http.ResponseWriter, h Health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !h.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(h) // who asked may have left
}

// Times of a connection: whoever asks has little to say.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	maxHeader    = 16 << 10
)

// Serve answers on l until ctx ends, and closes it. It returns when all answers
// are given, or a second later.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer done()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // nothing is left to say to those
		}
	})
	err := server.Serve(l)
	if stop() {
		return err
	}
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
