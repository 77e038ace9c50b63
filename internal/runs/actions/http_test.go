package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tutti-dev/tutti/internal/egress"
	"github.com/zclconf/go-cty/cty"
)

// serve starts a server that is gone, with its goroutines, before a stage looks
// for what is left.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		clientOf(nil).transport.CloseIdleConnections()
		server.Close()
	})
	return server
}

func get(url string) map[string]cty.Value {
	return map[string]cty.Value{"url": cty.StringVal(url)}
}

func TestHTTP(t *testing.T) {
	s := newStage(t)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Add("X-Many", "one")
		w.Header().Add("X-Many", "two")
		_, _ = fmt.Fprintf(w, "%s %s %s|%s|%s|%s|%s", r.Method, r.Host, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("Idempotency-Key"), r.Header.Get("X-Own"), body)
	})
	host := strings.TrimPrefix(server.URL, "http://")
	for _, c := range []struct {
		name      string
		arguments map[string]cty.Value
		body      string
	}{
		{"get", get(server.URL + "/a?b=c"), "GET " + host + " /a?b=c||key-1||"},
		{"text", with(with(get(server.URL), "method", cty.StringVal("post")), "body", cty.StringVal("words")), "POST " + host + " /|text/plain; charset=utf-8|key-1||words"},
		{"JSON", with(with(get(server.URL), "method", cty.StringVal("PUT")), "body", cty.ObjectVal(map[string]cty.Value{
			"n": cty.MustParseNumberVal("1234567890123456789"), "list": cty.TupleVal([]cty.Value{cty.True, cty.StringVal("<")}),
		})), "PUT " + host + ` /|application/json|key-1||{"list":[true,"\u003c"],"n":1234567890123456789}`},
		{"headers", with(with(with(get(server.URL), "method", cty.StringVal("POST")), "body", cty.StringVal("x=y")),
			"headers", object("content-type", "application/x-www-form-urlencoded", "X-Own", "mine", "idempotency-key", "other", "Host", "example.com")),
			"POST example.com /|application/x-www-form-urlencoded|other|mine|x=y"},
	} {
		out := s.must("http", c.arguments)
		same(t, c.name, attribute(out, "body"), c.body)
		same(t, c.name+": status", attribute(out, "status"), 200)
		same(t, c.name+": headers", out.GetAttr("headers").Index(cty.StringVal("x-many")).AsString(), "one, two")
		same(t, c.name+": json", attribute(out, "json"), "null")
	}
	if s.beats == 0 {
		t.Error("no beats")
	}
	if line := strings.SplitN(s.log("http"), "\n", 2)[0]; !regexp.MustCompile(`^GET http://127\.0\.0\.1:\d+/a\?b=c 200 \d+m?s$`).MatchString(line) {
		t.Errorf("log: %q", line)
	}
}

func TestHTTPDecodesJSON(t *testing.T) {
	s := newStage(t)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		_, _ = io.WriteString(w, r.URL.Query().Get("body"))
	})
	for _, c := range []struct {
		kind, body string
		want       cty.Value
	}{
		{"application/json", `{"a":[1,null]}`, cty.ObjectVal(map[string]cty.Value{"a": cty.TupleVal([]cty.Value{cty.NumberIntVal(1), cty.NullVal(cty.DynamicPseudoType)})})},
		{"text/plain", `"x"`, cty.StringVal("x")},
		{"text/plain", `x`, cty.NullVal(cty.DynamicPseudoType)},
		{"application/json", `{`, cty.NullVal(cty.DynamicPseudoType)},
		{"application/json", ``, cty.NullVal(cty.DynamicPseudoType)},
		{"application/json", strings.Repeat("[", 20000), cty.NullVal(cty.DynamicPseudoType)},
	} {
		out := s.must("http", get(server.URL+"?"+url.Values{"type": {c.kind}, "body": {c.body}}.Encode()))
		if got := out.GetAttr("json"); !got.RawEquals(c.want) {
			t.Errorf("%.20s: %#v", c.body, got)
		}
	}
}

func TestHTTPStatus(t *testing.T) {
	s := newStage(t)
	s.secrets = []string{"hunter22"}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.Header().Set("Location", "/200")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "password hunter22 is wrong "+strings.Repeat("ä", 5000))
	})
	expect := func(status string, expected cty.Value) map[string]cty.Value {
		return with(get(server.URL+"/"+status), "expect_status", expected)
	}
	number := func(n int64) cty.Value { return cty.NumberIntVal(n) }
	numbers := cty.TupleVal([]cty.Value{number(200), number(404)})
	for _, arguments := range []map[string]cty.Value{
		expect("201", cty.NullVal(cty.Number)), expect("404", numbers), expect("200", numbers), expect("503", number(503)),
		expect("404", cty.ListVal([]cty.Value{number(404)})), expect("302", number(302)), expect("302", number(200)),
	} {
		s.must("http", arguments)
	}
	cause := s.fails("Tutti.StatusCode.500", "http", get(server.URL+"/500"))
	has(t, "cause", cause, server.URL+"/500 was answered 500 Internal Server Error: password *** is wrong ää", "ä …")
	if len(cause) > 2*shownBody || strings.Contains(cause, "\uFFFD") {
		t.Errorf("cause: %q", cause)
	}
	s.fails("Tutti.StatusCode.404", "http", get(server.URL+"/404"))
	s.fails("Tutti.StatusCode.201", "http", expect("201", number(200)))
	for _, bad := range []cty.Value{cty.StringVal("ok"), number(7), cty.NumberFloatVal(200.5), cty.EmptyTupleVal, cty.TupleVal([]cty.Value{cty.True})} {
		s.fails("Tutti.InvalidArgument", "http", expect("200", bad))
	}
}

func TestHTTPFails(t *testing.T) {
	s := newStage(t)
	s.secrets = []string{"hunter22"}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			_, _ = w.Write(make([]byte, maxBody+1))
		case "/full":
			_, _ = w.Write(make([]byte, maxBody))
		case "/broken":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "too little")
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}
	})
	has(t, "large", s.fails("Tutti.ResponseTooLarge", "http", get(server.URL+"/large")), "more than 10 MiB")
	s.must("http", get(server.URL+"/full"))
	has(t, "broken", s.fails("Tutti.RequestFailed", "http", get(server.URL+"/broken")), "200 OK, but failed: unexpected EOF")
	has(t, "round", s.fails("Tutti.RequestFailed", "http", get(server.URL+"/round")), "10 redirects")
	has(t, "file", s.fails("Tutti.RequestFailed", "http", get(server.URL+"/file")), "neither http nor https")
	for _, url := range []string{"ftp://host/", "file:///etc/passwd", "/path", "http:///path", "http://[::1", "hunter22://x"} {
		if cause := s.fails("Tutti.InvalidArgument", "http", get(url)); strings.Contains(cause, "hunter22") {
			t.Errorf("%s: %s", url, cause)
		}
	}
	s.fails("Tutti.InvalidArgument", "http", with(get(server.URL), "method", cty.StringVal("BAD METHOD")))
	s.fails("Tutti.RequestFailed", "http", with(get(server.URL), "headers", object("bad name", "x")))

	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	address := strings.Replace(gone.URL, "http://", "http://user:pass@", 1) + "/hunter22?x=hunter22&access_token=abc&page=1&sig=%zz"
	cause := s.fails("Tutti.RequestFailed", "http", get(address))
	has(t, "cause", cause, "connection refused", gone.URL+"/***?x=***&access_token=***&page=1&sig=***")
	if log := s.log("http"); strings.Contains(cause+log, "pass") || strings.Contains(cause+log, "abc") || strings.Contains(log, "hunter22") {
		t.Errorf("%s and in the log: %s", cause, log)
	}
}

func TestHTTPRedirects(t *testing.T) {
	s := newStage(t)
	s.secrets = []string{"hunter22"}
	var seen []string
	record := func(r *http.Request) {
		seen = append(seen, fmt.Sprintf("%s|%s|%s|%s|%s|%s|%s", r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Header.Get("Idempotency-Key"), r.Header.Get("X-Api-Key"), r.Header.Get("X-Plain"), r.Header.Get("Referer")))
	}
	var home *httptest.Server
	// The same address on another port is another host.
	stranger := serve(t, func(w http.ResponseWriter, r *http.Request) {
		record(r)
		if r.URL.Path == "/back" {
			http.Redirect(w, r, home.URL+"/end", http.StatusTemporaryRedirect)
		}
	})
	home = serve(t, func(w http.ResponseWriter, r *http.Request) {
		record(r)
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/end", http.StatusTemporaryRedirect)
		case "/away":
			http.Redirect(w, r, stranger.URL+"/end", http.StatusTemporaryRedirect)
		case "/round":
			http.Redirect(w, r, stranger.URL+"/back", http.StatusTemporaryRedirect)
		}
	})
	all, none := "Bearer x|a=b|key-1|hunter22|plain|", "||||plain|"
	for path, want := range map[string][]string{
		"/same":  {"/same|" + all, "/end|" + all},
		"/away":  {"/away|" + all, "/end|" + none},
		"/round": {"/round|" + all, "/back|" + none, "/end|" + none},
	} {
		seen = nil
		s.must("http", with(get(home.URL+path), "headers", object("Authorization", "Bearer x", "Cookie", "a=b", "X-Api-Key", "hunter22", "X-Plain", "plain")))
		same(t, path, strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}

func TestSameHost(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"http://a/x", "http://A:80/y"}:      true,
		{"http://a/", "https://a/"}:          true,
		{"https://a/", "http://a/"}:          false,
		{"http://a:8080/", "https://a/"}:     false,
		{"https://a/", "https://sub.a/"}:     false,
		{"https://a:8443/", "https://a/"}:    false,
		{"https://a:443/", "https://a/"}:     true,
		{"http://a:80/", "https://a:8443/"}:  false,
		{"https://a/", "https://a.evil.com"}: false,
	} {
		one, _ := url.Parse(pair[0])
		two, _ := url.Parse(pair[1])
		same(t, pair[0]+" "+pair[1], sameHost(one, two), want)
	}
}

func TestHTTPIsCancelled(t *testing.T) {
	s := newStage(t)
	arrived, release := make(chan string), make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		arrived <- r.Method
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	begin := func(ctx context.Context, method string) func() error {
		call := s.call("http", with(get(server.URL), "method", cty.StringVal(method)))
		done := make(chan error, 1)
		go func() {
			_, err := HTTP(ctx, call)
			done <- err
		}()
		<-arrived
		return func() error { return <-done }
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("time is up")
	end := begin(ctx, "POST")
	cancel(why)
	if err := end(); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	reads, writes := begin(t.Context(), "GET"), begin(t.Context(), "POST")
	close(s.asked)
	has(t, "what reads", s.isError("Tutti.RequestFailed", cty.NilVal, reads()), "cancelled")
	close(release)
	if err := writes(); err != nil {
		t.Errorf("what writes: %v", err)
	}
	_, err := HTTP(t.Context(), s.call("http", get(server.URL)))
	has(t, "what was not begun", s.isError("Tutti.RequestFailed", cty.NilVal, err), "not sent")
}

// Many calls use few connections.
func TestHTTPManyAtOnce(t *testing.T) {
	s := newStage(t)
	var open, most atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if n := open.Add(1); n > most.Load() {
				most.Store(n)
			}
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
	server.Start()
	t.Cleanup(func() {
		clientOf(nil).transport.CloseIdleConnections()
		server.Close()
	})
	call := s.call("http", get(server.URL))
	var group sync.WaitGroup
	for range 3000 {
		group.Go(func() {
			if _, err := HTTP(t.Context(), call); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most.Load() > maxPerHost+1 { // one may be closing while the next is there
		t.Errorf("%d connections", most.Load())
	}
}

// A guarded request goes to no network that is not public, unless it is allowed:
// not by a name, and not by a redirect.
func TestHTTPGuarded(t *testing.T) {
	s := newStage(t)
	var reached atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		reached.Add(1)
	})
	port := server.Listener.Addr().(*net.TCPAddr).Port
	call := func(guard *egress.Guard, url string) error {
		c := s.call("http", get(url))
		c.Egress = guard
		_, err := HTTP(t.Context(), c)
		clientOf(guard).transport.CloseIdleConnections()
		return err
	}
	here, there := fmt.Sprintf("http://127.0.0.1:%d/", port), fmt.Sprintf("http://127.0.0.2:%d/", port)
	only := egress.New(netip.MustParsePrefix("127.0.0.1/32"))
	for _, refused := range []struct {
		guard *egress.Guard
		url   string
	}{
		{egress.New(), here},
		{egress.New(), fmt.Sprintf("http://localhost:%d/", port)},
		{egress.New(), "http://169.254.169.254/latest/meta-data/"},
		{only, there},
		{only, here + "?to=" + url.QueryEscape(there)},
	} {
		has(t, refused.url, s.isError("Tutti.RequestFailed", cty.NilVal, call(refused.guard, refused.url)), "not a public one")
	}
	if reached.Load() != 0 {
		t.Error("something was reached")
	}
	if err := call(only, here+"?to="+url.QueryEscape(here)); err != nil || reached.Load() != 1 {
		t.Errorf("what is allowed: %v, reached %d times", err, reached.Load())
	}
}

func TestHTTPThroughProxy(t *testing.T) {
	newStage(t)
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, "proxied ", r.URL) })
	cmd := play(t, "proxied", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "answer", string(out), "proxied http://tutti.invalid/path")
}
