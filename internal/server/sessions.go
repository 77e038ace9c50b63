package server

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
)

const (
	cookieName  = "tutti_session"
	sessionTime = 12 * time.Hour
	// mostSessions bounds what logging in over and over can take.
	mostSessions = 10_000
)

// sessions are those of browsers: a cookie stands for the token that somebody
// logged in with, which is asked about anew every time, so that one that is
// revoked ends its sessions. They end with the server.
type sessions struct {
	mu   sync.Mutex
	list map[[sha256.Size]byte]session
	// token says whom a token stands for.
	token func(string) (access.Identity, error)
}

type session struct {
	token   string
	expires time.Time
}

// open makes a session and returns what its cookie holds.
func (s *sessions) open(token string, now time.Time) (string, bool) {
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
	s.list[sha256.Sum256([]byte(secret))] = session{token, now.Add(sessionTime)}
	return secret, true
}

// find is who comes with a session's cookie.
func (s *sessions) find(r *http.Request, now time.Time) (access.Identity, bool) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return access.Identity{}, false
	}
	s.mu.Lock()
	one, ok := s.list[sha256.Sum256([]byte(c.Value))]
	token := s.token
	s.mu.Unlock()
	if !ok || !now.Before(one.expires) || token == nil {
		return access.Identity{}, false
	}
	who, err := token(one.token)
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

// login takes a token from the form of the UI and opens a session.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	shown := r.PostFormValue("token")
	if _, err := s.Token(shown); err != nil {
		s.refuse(r, Refusal{Login: true, Token: shown, Err: err})
		tell(w, http.StatusUnauthorized, "This token does not hold.")
		return
	}
	s.sessions.mu.Lock()
	s.sessions.token = s.Token
	s.sessions.mu.Unlock()
	secret, ok := s.sessions.open(shown, time.Now())
	if !ok {
		tell(w, http.StatusServiceUnavailable, "There are too many sessions.")
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: secret, Path: "/", MaxAge: int(sessionTime.Seconds()), HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteStrictMode,
	})
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	s.sessions.end(r)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
}
