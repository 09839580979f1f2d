package edge

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sluice/iot"
)

// Bounds of what is relayed, in bytes.
const (
	maxRelayed = 64 << 10 // of a request
	maxAnswer  = 1 << 20
)

// relay asks the hub what gateways below ask about the identities of their modules,
// and passes on everything else:
//
//	PUT, GET, DELETE /devices/{d}/modules/{m}
//	GET              /devices/{d}/modules
//
// The caller proves that it is the edge device {d}, below this gateway. The hub is
// shown the same proof: it decides what an edge device may do, however many gateways
// stand between.
func (e *Edge) relay(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := relayed(r)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		if err := e.passOn(w, r, id); err != nil {
			e.log.Info("a gateway's question about its modules was refused", "identity", id, "remote", r.RemoteAddr, "err", err)
			kind := iot.KindOf(err)
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.WriteHeader(kind.HTTPStatus())
			_ = json.NewEncoder(w).Encode(map[string]string{"Message": kind.String()}) // the caller may be gone
		}
	})
}

// relayed tells whether a request is one of those, and whom it is about: a module, or
// the device if it is about all of its modules.
func relayed(r *http.Request) (id iot.Identity, ok bool) {
	parts := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	if len(parts) < 3 || len(parts) > 4 || !strings.EqualFold(parts[0], "devices") || !strings.EqualFold(parts[2], "modules") {
		return id, false
	}
	var err error
	if id.Device, err = url.PathUnescape(parts[1]); err == nil && len(parts) == 4 {
		id.Module, err = url.PathUnescape(parts[3])
	}
	if err != nil || id.Validate() != nil || len(parts) == 4 && id.Module == "" {
		return id, false
	}
	switch r.Method {
	case http.MethodGet:
		return id, true
	case http.MethodPut, http.MethodDelete:
		return id, id.IsModule()
	}
	return id, false
}

// passOn asks the hub and answers. With an error nothing was answered yet.
func (e *Edge) passOn(w http.ResponseWriter, r *http.Request, id iot.Identity) error {
	creds := iot.Credentials{Identity: id.Owner(), Token: r.Header.Get("Authorization")}
	if err := e.gateway.EdgeBelow(r.Context(), creds); err != nil {
		return err
	}
	if !e.gateway.Online() {
		return iot.Errorf(iot.Unavailable, "relay", id, "the hub is away")
	}
	ctx, cancel := context.WithTimeout(r.Context(), identityTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, e.modulesURL(id, r.URL.RawQuery), http.MaxBytesReader(w, r.Body, maxRelayed))
	if err != nil {
		return err
	}
	req.Host, req.ContentLength = e.cfg.HubHostName, r.ContentLength
	for _, name := range []string{"Authorization", "Content-Type", "If-Match"} {
		if v := r.Header.Get(name); v != "" {
			req.Header.Set(name, v)
		}
	}
	transport := e.identityTransport()
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(req)
	if err != nil {
		return &iot.Error{Kind: iot.Unavailable, Op: "relay", Identity: id, Err: err}
	}
	defer answer.Body.Close() //nolint:errcheck // was only read
	if r.Method != http.MethodGet && answer.StatusCode < 300 {
		e.learn(ctx, id)
	}
	for _, name := range []string{"Content-Type", "ETag"} {
		if v := answer.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.Header().Set("Cache-Control", "no-store") // keys are in it
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(answer.Body, maxAnswer)) // the caller may be gone
	return nil
}

// learn asks the hub about an identity that was made or removed a moment ago, so that
// nobody has to wait until it is asked for again.
func (e *Edge) learn(ctx context.Context, id iot.Identity) {
	if err := e.gateway.Learn(ctx, id); err != nil {
		e.log.Warn("an identity was changed, and is not known yet", "identity", id, "err", err)
	}
}

// modulesURL is where the hub, or the gateway above, answers about a module, or about
// all of a device.
func (e *Edge) modulesURL(id iot.Identity, query string) string {
	target := "https://" + net.JoinHostPort(hubAddress(e.cfg), strconv.Itoa(e.cfg.Hub.HTTPSPort)) +
		"/devices/" + url.PathEscape(id.Device) + "/modules"
	if id.IsModule() {
		target += "/" + url.PathEscape(id.Module)
	}
	return target + "?" + query
}
