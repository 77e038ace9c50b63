package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/access/identities"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/states"
)

// Server serves one project.
type Server struct {
	API *api.API
	// Token says whom a token stands for that a client shows.
	Token func(shown string) (access.Identity, error)
	// Refused, where not nil, is told of tokens and logins that let nobody in.
	Refused func(Refusal)
	// Issuers are those that people log in with in the browser, by identity.
	Issuers map[string]*identities.Issuer
	// LoggedIn, where not nil, is told of each who did: a login that is not told of
	// does not count.
	LoggedIn func(ctx context.Context, identity string, who identities.Credential) error
	// Local, where not nil, is whom clients without a token act as. It holds only
	// where the server listens on this machine alone.
	Local *access.Identity
	// Locks are those of the state backend.
	Locks states.Locker
	// Hooks answers the requests of webhooks, at paths that begin with
	// [projects.HooksPrefix]. It finds out by itself who sends them.
	Hooks http.Handler
	Log   *slog.Logger
	// URL is where clients find the server, if not where it listens: its host is one
	// that requests may name.
	URL string
	// Certificate and Key are files in PEM; empty for no encryption. See
	// [Server.ReadCertificate].
	Certificate, Key string
	// Proxied says that a proxy in front encrypts connections.
	Proxied bool

	certificate atomic.Pointer[tls.Certificate]

	sessions sessions
	pending  pendingLogins
	base     string // where browsers find the server
	again    again
	hosts    map[string]bool // that requests may name; nil for any
	secure   bool            // browsers are to send cookies over encrypted connections only
}

// Refusal is an attempt to get in that failed.
type Refusal struct {
	Login   bool   // whether it was to open a session in the browser
	Token   string // that was shown, if one was: secret
	Name    string // of the identity that somebody wanted to log in with; empty for a token
	Address string // that the request came from
	Route   string
	Err     error // why
}

// refuse tells of an attempt to get in that failed.
func (s *Server) refuse(r *http.Request, what Refusal) {
	if s.Refused == nil {
		return
	}
	what.Address, what.Route = r.RemoteAddr, routeOf(r)
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		what.Address = host
	}
	s.Refused(what)
}

func routeOf(r *http.Request) string { return r.Method + " " + r.URL.Path }

// The bounds on what a client may take of the server's time and memory. Streams
// and bodies have their own (see [api.API]).
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	answerTimeout = time.Minute
	headerBytes   = 64 << 10
	graceful      = 5 * time.Second
)

// ErrExposed says that a server would be reached from other machines without encryption.
var ErrExposed = errors.New("the server would be open to others")

// MetricsPath is where Prometheus collects. Who does so comes with a token, too.
const MetricsPath = "/metrics"

// Serve answers requests until ctx ends. Ready is told where the server is.
func (s *Server) Serve(ctx context.Context, l net.Listener, ready func(url string)) error {
	local, err := s.prepare(l.Addr())
	if err != nil {
		return err
	}
	scheme := "http"
	if s.Certificate != "" {
		scheme = "https"
	}
	s.base = s.URL
	if s.base == "" {
		s.base = scheme + "://" + l.Addr().String()
	}
	h := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	if scheme == "https" {
		if err := s.ReadCertificate(); err != nil {
			return err
		}
		h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.Load(), nil }}
	}
	done := make(chan error, 1)
	go func() {
		if scheme == "https" {
			done <- h.ServeTLS(l, "", "")
			return
		}
		done <- h.Serve(l)
	}()
	if ready != nil {
		ready(s.base)
	}
	s.Log.Info("serving", "address", l.Addr().String(), "local", local)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	// Streams end by themselves (api.API.Stop); who takes longer is cut off.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceful)
	defer cancel()
	if err := h.Shutdown(stop); err != nil {
		_ = h.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ReadCertificate reads the files with the certificate and its key, again where they have
// been replaced: new connections use it. Where they cannot be read, the former one stays.
func (s *Server) ReadCertificate() error {
	if s.Certificate == "" {
		return nil
	}
	read, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
	if err != nil {
		return fmt.Errorf("the certificate cannot be read: %w", err)
	}
	s.certificate.Store(&read)
	return nil
}

// prepare finds out what must hold for the address listened at.
func (s *Server) prepare(at net.Addr) (local bool, err error) {
	addr, err := netip.ParseAddrPort(at.String())
	if err != nil {
		return false, fmt.Errorf("cannot tell whether %s is an address of this machine alone: %w", at, err)
	}
	local = addr.Addr().IsLoopback()
	if !local {
		s.Local = nil
		if s.Certificate == "" && !s.Proxied {
			return false, fmt.Errorf("%w at %s", ErrExposed, at)
		}
	}
	s.secure = s.Certificate != "" || s.Proxied
	if local {
		s.hosts = map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, addr.Addr().String(): true}
	}
	if s.URL != "" {
		u, err := url.Parse(s.URL)
		if err != nil || u.Hostname() == "" {
			return false, fmt.Errorf("%q is not the URL of a server", s.URL)
		}
		if s.hosts == nil {
			s.hosts = map[string]bool{}
		}
		s.hosts[strings.ToLower(u.Hostname())] = true
	}
	return local, nil
}

// Handler answers all requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.API.Register(mux)
	s.stateBackend(mux)
	if s.Hooks != nil {
		mux.Handle(projects.HooksPrefix, s.Hooks)
	}
	mux.HandleFunc("POST /login", s.showToken)
	mux.HandleFunc("GET /logins", s.listLogins)
	mux.HandleFunc("GET /login/{identity}", s.beginLogin)
	mux.HandleFunc("GET /login/{identity}/callback", s.finishLogin)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("/", elsewhere(mux))
	m := newMetrics(s.API)
	mux.Handle("GET "+MetricsPath, m.handler(s.API))
	h := m.measured(mux)
	h = s.tagged(h)
	h = s.once(h)
	h = s.identified(h)
	h = s.sameOrigin(h)
	h = s.knownHost(h)
	h = secured(h)
	return s.logged(h)
}

// readyz says whether the server can do its work: whether the store answers.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if _, err := s.API.Store.Unended(r.Context()); err != nil {
		tell(w, http.StatusServiceUnavailable, "The store does not answer.")
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}
