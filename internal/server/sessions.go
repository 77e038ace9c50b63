package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/access/identities"
)

const (
	cookieName  = "tutti_session"
	sessionTime = 12 * time.Hour
	// mostSessions bounds what logging in over and over can take.
	mostSessions = 10_000
)

// sessions are those of browsers: a cookie stands for a token that somebody showed,
// or for a login with an issuer. Who that is, is asked anew every time, so that a token
// that is revoked ends its sessions. They end with the server.
type sessions struct {
	mu   sync.Mutex
	list map[[sha256.Size]byte]session
}

type session struct {
	by interface {
		who(ctx context.Context) (access.Identity, error)
	}
	expires time.Time
}

// open makes a session and returns what its cookie holds.
func (s *sessions) open(by interface {
	who(ctx context.Context) (access.Identity, error)
}, now time.Time,
) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[[sha256.Size]byte]session{}
	}
	for key, one := range s.list {
		if !now.Before(one.expires) {
			delete(s.list, key)
		}
	}
	if len(s.list) >= mostSessions {
		return "", false
	}
	secret := rand.Text() + rand.Text()
	s.list[sha256.Sum256([]byte(secret))] = session{by, now.Add(sessionTime)}
	return secret, true
}

// find is who comes with a session's cookie.
func (s *sessions) find(r *http.Request, now time.Time) (access.Identity, bool) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return access.Identity{}, false
	}
	key := sha256.Sum256([]byte(c.Value))
	s.mu.Lock()
	one, ok := s.list[key]
	s.mu.Unlock()
	if !ok || !now.Before(one.expires) {
		return access.Identity{}, false
	}
	who, err := one.by.who(r.Context())
	if err != nil && !errors.As(err, new(*identities.UnreachableError)) && r.Context().Err() == nil {
		s.mu.Lock()
		delete(s.list, key) // what does not hold now will not hold again
		s.mu.Unlock()
	}
	return who, err == nil
}

func (s *sessions) end(r *http.Request) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.list, sha256.Sum256([]byte(c.Value)))
}

// showToken takes a token from the form of the UI and opens a session.
func (s *Server) showToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); errors.As(err, new(*http.MaxBytesError)) {
		tell(w, http.StatusRequestEntityTooLarge, "The form is too long.")
		return
	}
	shown := r.PostForm.Get("token")
	if _, err := s.Token(shown); err != nil {
		s.refuse(r, Refusal{Login: true, Token: shown, Err: err})
		tell(w, http.StatusUnauthorized, "This token does not hold.")
		return
	}
	secret, ok := s.sessions.open(&shownToken{shown, s.Token}, time.Now())
	if !ok {
		tell(w, http.StatusServiceUnavailable, "There are too many sessions.")
		return
	}
	http.SetCookie(w, s.cookie(cookieName, secret, "/", sessionTime, http.SameSiteStrictMode))
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	s.sessions.end(r)
	http.SetCookie(w, s.cookie(cookieName, "", "/", -time.Second, http.SameSiteStrictMode))
	w.WriteHeader(http.StatusNoContent)
}
