//go:build cloud

package cloud

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// proxy stands between the provider and the cloud, and can lose what goes
// either way.
type proxy struct {
	server *httptest.Server

	// underWay counts what the cloud is asked. It is asked to the end, whoever dies
	// meanwhile: a test that looks at the cloud later knows what it is to find.
	underWay sync.WaitGroup

	mu      sync.Mutex
	losses  []*loss
	release chan struct{}
}

// loss describes a request by its method, the end of its path and a part of its
// body. It is lost on its way to the cloud; or, with answer, the cloud carries it
// out and only the answer is lost. Nobody hears anything until release.
type loss struct {
	method, path, body string
	answer             bool

	lost chan struct{} // closed when it has happened
}

// newProxy serves /SERVICE/… for the services of the cloud.
func newProxy(t *testing.T, cloud *api, services ...string) *proxy {
	t.Helper()
	p := &proxy{release: make(chan struct{})}
	mux := http.NewServeMux()
	for _, service := range services {
		base, err := url.Parse(cloud.base[service])
		if err != nil {
			t.Fatal(err)
		}
		forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(base)
			r.Out.URL.Path = base.Path + strings.TrimPrefix(r.In.URL.Path, "/"+service)
		}}
		mux.HandleFunc("/"+service+"/", func(w http.ResponseWriter, r *http.Request) { p.serve(forward, w, r) })
	}
	p.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		p.forget()
		p.server.Close()
	})
	return p
}

func (p *proxy) serve(forward http.Handler, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	// With an end of its own, or the end of the connection would be looked for.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	hit, release := p.match(r, string(body))
	if hit == nil || hit.answer {
		answer := http.ResponseWriter(httptest.NewRecorder())
		if hit == nil {
			answer = w
		}
		p.underWay.Add(1)
		forward.ServeHTTP(answer, r)
		p.underWay.Done()
	}
	if hit == nil {
		return
	}
	close(hit.lost)
	<-release
	panic(http.ErrAbortHandler) // closes the connection
}

// match finds the loss that is meant, which happens once.
func (p *proxy) match(r *http.Request, body string) (*loss, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, l := range p.losses {
		if r.Method == l.method && strings.HasSuffix(r.URL.Path, l.path) && strings.Contains(body, l.body) {
			p.losses = append(p.losses[:i:i], p.losses[i+1:]...)
			return l, p.release
		}
	}
	return nil, nil
}

// lose adds a loss that is to happen.
func (p *proxy) lose(l *loss) *loss {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.lost = make(chan struct{})
	p.losses = append(p.losses, l)
	return l
}

// forget lets go of everything that is held, and of losses still to come. It
// returns when the cloud has answered all that it was asked.
func (p *proxy) forget() {
	defer p.underWay.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.release)
	p.release, p.losses = make(chan struct{}), nil
}
