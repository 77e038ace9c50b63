package server

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2/sse"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/server/api"
)

// tell answers with a problem (RFC 9457).
func tell(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}

// secured says to browsers what the UI needs, and nothing more.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if strings.HasPrefix(r.URL.Path, api.Prefix) {
			h.Set("Cache-Control", "no-store")
		}
		next.ServeHTTP(w, r)
	})
}

// knownHost refuses requests that name another host: a page of somebody else
// whose name was made to mean this machine.
func (s *Server) knownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Host
		if host, _, err := net.SplitHostPort(r.Host); err == nil {
			name = host
		}
		if name = strings.ToLower(strings.Trim(name, "[]")); s.hosts != nil && !s.hosts[name] {
			tell(w, http.StatusMisdirectedRequest, "This server does not go by that name.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sameOrigin refuses what pages of others have a browser write. Reading is no
// danger: they are not shown the answer.
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		tell(w, http.StatusForbidden, "The request comes from a page of another site.")
	}))
	return guard.Handler(next)
}

// identified finds out who asks. What is for everybody is let through: the UI's
// files, health, and the description of the API.
func (s *Server) identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != MetricsPath && !strings.HasPrefix(r.URL.Path, api.Prefix+"/") || strings.HasPrefix(r.URL.Path, api.Prefix+"/openapi") {
			next.ServeHTTP(w, r)
			return
		}
		who, err := s.whoAsks(r)
		if err == nil {
			ctx := api.WithRoute(api.WithIdentity(r.Context(), who), routeOf(r))
			ctx = api.WithRecheck(ctx, func() (access.Identity, error) { return s.whoAsks(r) })
			next.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="tutti"`)
		tell(w, http.StatusUnauthorized, "Come with a token that holds: make one with \"tutti token create\".")
	})
}

// errNobody says that a request comes without anything that says who asks.
var errNobody = errors.New("there is no token")

// whoAsks finds out who asks. A token that is shown is what counts, whatever else
// there is.
func (s *Server) whoAsks(r *http.Request) (access.Identity, error) {
	header := r.Header.Get("Authorization")
	shown, bearer := strings.CutPrefix(header, "Bearer ")
	switch {
	case len(r.Header.Values("Authorization")) > 1:
		return access.Identity{}, errNobody
	case bearer:
	case header != "":
		// The state backend's clients know names and passwords only.
		var basic bool
		if _, shown, basic = r.BasicAuth(); !basic || !strings.HasPrefix(r.URL.Path, StatePrefix) {
			return access.Identity{}, errNobody
		}
	default:
		if who, ok := s.sessions.find(r, time.Now()); ok {
			return who, nil
		}
		if s.Local != nil {
			return *s.Local, nil
		}
		return access.Identity{}, errNobody
	}
	who, err := s.Token(shown)
	if err != nil {
		s.refuse(r, Refusal{Token: shown, Err: err})
	}
	return who, err
}

// recorder remembers how a request was answered.
type recorder struct {
	http.ResponseWriter
	status  int
	bytes   int
	held    bool // what is flushed waits
	waiting bool // for it is held
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += n
	return n, err
}

// Unwrap lets streams flush and set deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// hold keeps what a stream flushes back, until it is told not to: messages that are
// there at once go in one piece.
func (r *recorder) hold(held bool) {
	if r.held = held; !held && r.waiting {
		r.waiting = false
		// That of the last message may be over.
		_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Now().Add(sse.WriteTimeout))
		r.Flush()
	}
}

// Flush implements http.Flusher for streams.
func (r *recorder) Flush() {
	if r.held {
		r.waiting = true
		return
	}
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// logged tells the log of every request that changes something or fails, but of events
// that are taken, which the feed has, and bounds the time an answer takes. Nothing of what clients send is in the log but
// the path.
func (s *Server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		if !strings.HasSuffix(r.URL.Path, "/stream") {
			// Whoever sends a byte now and then is not waited for either.
			control := http.NewResponseController(w)
			_ = control.SetReadDeadline(began.Add(answerTimeout))
			_ = control.SetWriteDeadline(began.Add(answerTimeout))
		}
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				s.Log.Error("a request went wrong", "method", r.Method, "path", r.URL.Path, "panic", p)
				if rec.status == 0 {
					tell(rec, http.StatusInternalServerError, "Something went wrong here; the server's log says what.")
				}
			}
			if taken := rec.status == http.StatusAccepted; rec.status >= 400 || !taken && r.Method != http.MethodGet && r.Method != http.MethodHead {
				s.Log.Info("request", "method", r.Method, "path", r.URL.Path, "status", rec.status, "took", time.Since(began).Round(time.Microsecond))
			}
		}()
		next.ServeHTTP(rec, r)
	})
}
