package provision

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"sluice/iot"
)

// maxPost bounds what is posted, in bytes. Event Grid sends at most one MiB.
const maxPost = 2 << 20

// Handler takes Event Grid events, at any path: subscriptions in Event Grid's schema
// and in that of CloudEvents. It answers 200 once every request among them is in the
// journal, or is known to be none.
//
// Whoever posts must show the code, as the parameter code of the URL, as for an Azure
// Function, or in the header x-functions-key: the events say themselves who sent them.
// The code must not be empty.
//
// GET /health says what the service has done, as JSON, to everybody.
func (s *Service) Handler(code iot.Secret) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.serveHealth)
	mux.HandleFunc("POST /", guard(code, s.serveEvents))
	mux.HandleFunc("OPTIONS /", guard(code, serveHandshake))
	return mux
}

// guard asks for the code.
func guard(code iot.Secret, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		shown := r.URL.Query().Get("code")
		if shown == "" {
			shown = r.Header.Get("x-functions-key")
		}
		if code == "" || subtle.ConstantTimeCompare([]byte(shown), []byte(code.Reveal())) != 1 {
			http.Error(w, "the code is missing or wrong", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// serveHandshake lets a subscription with the schema of CloudEvents send here.
func serveHandshake(w http.ResponseWriter, r *http.Request) {
	if origin := r.Header.Get("WebHook-Request-Origin"); origin != "" {
		w.Header().Set("WebHook-Allowed-Origin", origin)
	}
	w.Header().Set("Allow", "POST, OPTIONS")
}

func (s *Service) serveHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, s.Counts())
}

func (s *Service) serveEvents(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPost))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		http.Error(w, "too many events at once", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		return // whoever posted is gone
	}
	list, err := parseGrid(text)
	if err != nil {
		s.counts.bad.Add(1)
		s.log.Warn("a post is not understood", "remote", r.RemoteAddr, "err", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	validation, err := s.takeGrid(list)
	if err == nil {
		err = s.journal.sync()
	}
	switch {
	case errors.Is(err, ErrFull):
		w.Header().Set("Retry-After", "30")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		s.log.Error("events cannot be kept", "err", err)
		http.Error(w, "the journal fails", http.StatusInternalServerError)
	case validation != "":
		writeJSON(w, map[string]string{"validationResponse": validation})
	}
}

// takeGrid takes the requests of a list of events. It returns the code with which a
// new subscription is to be confirmed, if the list asks for that.
func (s *Service) takeGrid(list []json.RawMessage) (validation string, err error) {
	for _, text := range list {
		e, err := parseEvent(text)
		if err != nil {
			s.bad(err)
			continue
		}
		if e.kind() == typeValidation {
			s.log.Info("a subscription is confirmed")
			validation = e.Data.ValidationCode
			continue
		}
		r, err := fromGrid(e)
		switch {
		case errors.Is(err, errOther):
			continue
		case err != nil:
			s.bad(err)
			continue
		}
		if err := s.take(r); err != nil {
			return "", err
		}
	}
	return validation, nil
}

// bad counts and logs what should be a request and is none.
func (s *Service) bad(err error) {
	s.counts.bad.Add(1)
	s.log.Warn("an event is not understood", "err", err)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked may be gone
}
