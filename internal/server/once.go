package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/api"
)

const (
	// keptFor is how long a request is known by its key.
	keptFor = 24 * time.Hour
	// mostBody bounds the body of a request with a key.
	mostBody = 1 << 20
	mostKey  = 200
)

// again keeps requests with the same key from being done side by side.
type again struct {
	mu      sync.Mutex
	working map[string]bool
}

func (a *again) begin(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.working[key] {
		return false
	}
	if a.working == nil {
		a.working = map[string]bool{}
	}
	a.working[key] = true
	return true
}

func (a *again) end(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.working, key)
}

// answered is what is kept of a request with a key. Until it has been answered,
// only the id is there that its run gets: whoever asks again after a crash gets
// the same run.
type answered struct {
	Request string `json:"request"` // SHA-256 of method, path and body
	Run     string `json:"run"`
	Status  int    `json:"status,omitempty"`
	Type    string `json:"type,omitempty"`
	Body    []byte `json:"body,omitempty"`
}

// once has writing requests with an Idempotency-Key done once: who comes again
// with the same is given the same answer.
func (s *Server) once(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Get("Idempotency-Key")
		if given == "" || r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, api.Prefix+"/") {
			next.ServeHTTP(w, r)
			return
		}
		if len(given) > mostKey {
			tell(w, http.StatusBadRequest, "The Idempotency-Key is too long.")
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
		if err != nil {
			tell(w, http.StatusRequestEntityTooLarge, "The body is too large, or did not arrive.")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		hash := sha256.Sum256([]byte(r.Method + "\x00" + r.URL.Path + "\x00" + string(body)))
		who := sha256.Sum256([]byte(api.IdentityOf(r.Context()).Subject + "\x00" + given))
		key := "request/" + hex.EncodeToString(who[:])
		if !s.again.begin(key) {
			tell(w, http.StatusConflict, "A request with this Idempotency-Key is being answered.")
			return
		}
		defer s.again.end(key)
		s.answerOnce(w, r, next, key, hex.EncodeToString(hash[:]))
	})
}

func (s *Server) answerOnce(w http.ResponseWriter, r *http.Request, next http.Handler, key, request string) {
	ctx, store := r.Context(), s.API.Store
	now := time.Now()
	data, known, err := store.Cached(ctx, key, now)
	if err != nil {
		tell(w, http.StatusInternalServerError, "The store does not answer.")
		return
	}
	before := answered{Request: request, Run: runs.NewID(now)}
	if known {
		var kept answered
		if json.Unmarshal(data, &kept) == nil {
			before = kept
		}
		switch {
		case before.Request != request:
			tell(w, http.StatusUnprocessableEntity, "This Idempotency-Key was used for another request.")
			return
		case before.Status != 0:
			w.Header().Set("Content-Type", before.Type)
			w.Header().Set("Idempotency-Replayed", "true")
			w.WriteHeader(before.Status)
			_, _ = w.Write(before.Body)
			return
		}
	} else if err := s.keep(r, key, before, now); err != nil {
		tell(w, http.StatusInternalServerError, "The store does not answer.")
		return
	}
	b := &buffer{header: w.Header()}
	b.hold(next, r.WithContext(api.WithRunID(ctx, before.Run)))
	if b.status < 500 { // what went wrong here may be tried again
		before.Status, before.Type, before.Body = b.status, w.Header().Get("Content-Type"), b.body.Bytes()
		if err := s.keep(r, key, before, now); err != nil {
			s.Log.Warn("an answer cannot be kept", "path", r.URL.Path, "error", err)
		}
	}
	w.WriteHeader(b.status)
	_, _ = w.Write(b.body.Bytes())
}

func (s *Server) keep(r *http.Request, key string, a answered, now time.Time) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return s.API.Store.Cache(r.Context(), key, data, true, now.Add(keptFor))
}

// buffer holds an answer back.
type buffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// hold has a request answered into the buffer. Who writes nothing means that it is well.
func (b *buffer) hold(next http.Handler, r *http.Request) {
	next.ServeHTTP(b, r)
	b.WriteHeader(http.StatusOK)
}

func (b *buffer) Header() http.Header { return b.header }

func (b *buffer) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *buffer) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

// tagged gives answers of the API an entity tag, and says so where a client has
// the answer already. What is without end, or long, is not held back for that.
func (s *Server) tagged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, api.Prefix+"/") || strings.HasPrefix(r.URL.Path, StatePrefix) || strings.HasSuffix(r.URL.Path, "/stream") || strings.HasSuffix(r.URL.Path, "/export") {
			next.ServeHTTP(w, r)
			return
		}
		b := &buffer{header: w.Header()}
		b.hold(next, r)
		if b.status == http.StatusOK {
			sum := sha256.Sum256(b.body.Bytes())
			tag := `"` + hex.EncodeToString(sum[:16]) + `"`
			w.Header().Set("ETag", tag)
			for _, have := range strings.Split(r.Header.Get("If-None-Match"), ",") {
				if have = strings.TrimSpace(have); have == tag || have == "W/"+tag {
					w.Header().Del("Content-Type")
					w.WriteHeader(http.StatusNotModified)
					return
				}
			}
		}
		w.WriteHeader(b.status)
		_, _ = w.Write(b.body.Bytes())
	})
}
