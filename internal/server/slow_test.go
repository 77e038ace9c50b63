package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/server"
	"github.com/tutti-dev/tutti/internal/server/api"
)

// pipes is a listener whose connections are in memory, so that time is virtual.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7780} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// serve has a server answer over pipes until the test ends.
func serve(t *testing.T) (l *pipes, stop func()) {
	l = &pipes{make(chan net.Conn), make(chan struct{})}
	s := &server.Server{
		API: &api.API{}, Log: slog.New(slog.DiscardHandler),
		Token: func(string) (access.Identity, error) { return access.Identity{}, errors.New("no") },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, nil) }()
	return l, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestSlowClients: who does not send what they began to, in headers or in a body, a
// byte now and then included, is let go of after a while.
func TestSlowClients(t *testing.T) {
	const login = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n"
	for name, c := range map[string]struct {
		begin string
		drip  string // sent every second
		most  time.Duration
	}{
		"headers":            {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "", 15 * time.Second},
		"headers, dripping":  {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", "x", 15 * time.Second},
		"body":               {login + "t", "", 65 * time.Second},
		"body, dripping":     {login + "t", "x", 65 * time.Second},
		"nothing at all":     {"", "", 15 * time.Second},
		"nothing afterwards": {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "", 125 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, stop := serve(t)
				defer stop()
				conn := l.dial()
				defer conn.Close()
				began := time.Now()
				written := make(chan struct{})
				go func() {
					defer close(written)
					_, err := io.WriteString(conn, c.begin)
					for c.drip != "" && err == nil {
						time.Sleep(time.Second)
						_, err = io.WriteString(conn, c.drip)
					}
				}()
				_, _ = io.Copy(io.Discard, conn) // until the server lets go
				if took := time.Since(began); took > c.most {
					t.Errorf("it was let go of after %s only", took)
				}
				_ = conn.Close()
				<-written
			})
		})
	}
}

// TestOversized: bodies and headers are read as far as they may be long, and no further.
func TestOversized(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := serve(t)
		defer stop()
		client := &http.Client{Transport: &http.Transport{
			DialContext:       func(context.Context, string, string) (net.Conn, error) { return l.dial(), nil },
			DisableKeepAlives: true,
		}}
		send := func(body int, header int) (status int, err error) {
			text := "token=" + strings.Repeat("x", body)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/login", strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("X", strings.Repeat("x", header))
			resp, err := client.Do(req)
			if err != nil {
				return 0, err
			}
			defer resp.Body.Close()
			if body > 1<<20 && resp.Header.Get("Connection") != "close" {
				return 0, fmt.Errorf("the connection is kept with what is on it")
			}
			return resp.StatusCode, nil
		}
		if status, err := send(100, 100); status != http.StatusUnauthorized || err != nil {
			t.Errorf("a token that does not hold: %d, %v", status, err)
		}
		if status, err := send(17<<10, 100); status != http.StatusRequestEntityTooLarge || err != nil {
			t.Errorf("a form that is too long: %d, %v", status, err)
		}
		if status, err := send(100, 128<<10); err == nil && status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("headers that are too long: %d", status)
		}
	})
}
