package test

import (
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// startDex starts the provider that scripts/dex.sh builds, whose ID tokens live so
// long, and returns its URL.
func startDex(t *testing.T, life string) string {
	t.Helper()
	program, err := filepath.Abs("../.cache/build/dex")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("dex is not built: run make dex")
	}
	at := freeAddress(t)
	cmd := exec.Command(program, "-listen="+at, "-life="+life)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	issuer := "http://" + at
	eventually(t, "an answer of dex", func() bool {
		resp, err := http.Get(issuer + "/.well-known/openid-configuration")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return issuer
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// browser goes where it is sent, as people do, but only as far as it is told to.
type browser struct {
	t    *testing.T
	http *http.Client
	// stop, where not empty, is the path at which it does not go on.
	stop string
	// set are the cookies it was given on the way, by name.
	set map[string]*http.Cookie
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, set: map[string]*http.Cookie{}}
	b.http = &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		b.note(req.Response)
		if b.stop != "" && strings.HasSuffix(req.URL.Path, b.stop) || len(via) > 20 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

func (b *browser) note(resp *http.Response) {
	for _, c := range resp.Cookies() {
		b.set[c.Name] = c
	}
}

// follow goes to a page and fills in every form as somebody, until there is none or it
// is stopped.
func (b *browser) follow(page, as string) (resp *http.Response, text string) {
	b.t.Helper()
	resp, err := b.http.Get(page)
	for range 10 {
		if err != nil {
			b.t.Fatal(err)
		}
		b.note(resp)
		data, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			b.t.Fatal(err)
		}
		text = string(data)
		action, fields := postForm(b.t, text)
		if action == "" || resp.StatusCode != http.StatusOK {
			return resp, text
		}
		if fields.Has("login") {
			fields.Set("login", as+"@example.com")
			fields.Set("password", "password")
		}
		next, err := resp.Request.URL.Parse(action)
		if err != nil {
			b.t.Fatal(err)
		}
		resp, err = b.http.PostForm(next.String(), fields)
		if err != nil {
			b.t.Fatal(err)
		}
	}
	b.t.Fatal("there are forms without end")
	return nil, ""
}

// visit is follow for whoever wants to know no more than the status and the page.
func (b *browser) visit(page, as string) (status int, text string) {
	b.t.Helper()
	resp, text := b.follow(page, as) //nolint:bodyclose // follow reads and closes it
	return resp.StatusCode, text
}

// postForm is the first form of a page that is to be posted.
func postForm(t *testing.T, page string) (action string, fields url.Values) {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	fields = url.Values{}
	for n := range doc.Descendants() {
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		switch {
		case n.Data == "form" && action == "" && strings.EqualFold(attr["method"], "post"):
			action = attr["action"]
		case n.Data == "input" && action != "" && attr["name"] != "":
			fields.Set(attr["name"], attr["value"])
		}
	}
	return action, fields
}

// session is whom the server takes a browser for; empty for nobody.
func (b *browser) session(s *httpServer) string {
	b.t.Helper()
	resp, err := b.http.Get(s.url + "/api/v1/session")
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(data)
}

// loginServer serves a project with dex as its identity provider.
func loginServer(t *testing.T, life string) (*project, *httpServer) {
	issuer := startDex(t, life)
	p := newServed(t)
	p.write("identity.tutti.hcl", `
identity "corp" {
  issuer         = "`+issuer+`"
  client_id      = "tutti"
  scopes         = ["openid", "email", "groups", "offline_access"]
  username_claim = "email"
  groups_claim   = "groups"
  group_prefix   = "corp-"
}
identity "twin" {
  issuer         = "`+issuer+`"
  client_id      = "tutti"
  scopes         = ["openid", "email"]
  username_claim = "email"
}
`)
	at := freeAddress(t)
	_, port, _ := net.SplitHostPort(at)
	s := p.server("-listen="+at, "-url=http://localhost:"+port, "-require-token")
	return p, s
}

// TestServerLogin logs in at a real provider, as browsers do, and out.
func TestServerLogin(t *testing.T) {
	p, s := loginServer(t, "1h")
	b := newBrowser(t)
	if code, body, _ := s.do("GET", "/logins", nil); code != 200 || !strings.Contains(string(body), `"identities":["corp","twin"]`) || !strings.Contains(string(body), `"client_id":"tutti"`) {
		t.Errorf("logins: %d %s", code, body)
	}
	if who := b.session(s); who != "" {
		t.Fatalf("a browser that has not logged in is %s", who)
	}
	status, text := b.visit(s.url+"/login/corp?next="+url.QueryEscape("/runs?status=failed"), "ann")
	if status != http.StatusOK || !strings.Contains(text, `content="0;url='/runs?status=failed'"`) {
		t.Fatalf("coming back: %d %s", status, text)
	}
	if who := b.session(s); !strings.Contains(who, `"user:ann@example.com"`) || !strings.Contains(who, `"group:corp-sre"`) {
		t.Fatalf("the session is of %s", who)
	}
	// The login's cookie comes along from another site, for a while; the session's never.
	if c := b.set["tutti_session"]; c == nil || c.SameSite != http.SameSiteStrictMode || !c.HttpOnly || c.Path != "/" {
		t.Errorf("the session's cookie is %v", c)
	}
	other := newBrowser(t)
	other.stop = "/callback"
	other.visit(s.url+"/login/corp", "bob")
	if c := other.set["tutti_login"]; c == nil || c.SameSite != http.SameSiteLaxMode || !c.HttpOnly || c.Path != "/login/" || c.MaxAge != 600 {
		t.Errorf("the login's cookie is %v", c)
	}
	feed := p.mustRun("audit", "list", "-json", "-type=login.succeeded")
	if !strings.Contains(feed, `"actor": "user:ann@example.com"`) || !strings.Contains(feed, `"subject": "identity.corp"`) || strings.Contains(feed, "eyJ") {
		t.Errorf("the feed tells: %s", feed)
	}
	// Out again, and the cookie that was is worth nothing.
	u, _ := url.Parse(s.url)
	old := b.http.Jar.Cookies(u)
	out, err := b.http.Post(s.url+"/logout", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = out.Body.Close()
	if out.StatusCode != http.StatusNoContent {
		t.Fatalf("logging out: %s", out.Status)
	}
	b.http.Jar.SetCookies(u, old)
	if who := b.session(s); who != "" {
		t.Errorf("after logging out the browser is %s", who)
	}
}

// TestServerLoginAttacks: no browser is logged in with what somebody else began, or
// what was used already, and none is sent elsewhere.
func TestServerLoginAttacks(t *testing.T) {
	p, s := loginServer(t, "1h")
	// back is how a browser is sent back after logging in, which it does not follow.
	back := func(as string) (*browser, *url.URL) {
		b := newBrowser(t)
		b.stop = "/callback"
		resp, text := b.follow(s.url+"/login/corp", as) //nolint:bodyclose // follow reads and closes it
		at, err := resp.Location()
		if err != nil {
			t.Fatalf("nobody is sent back: %d %s", resp.StatusCode, text)
		}
		return b, at
	}
	with := func(at *url.URL, change func(url.Values)) string {
		changed := *at
		q := at.Query()
		change(q)
		changed.RawQuery = q.Encode()
		return changed.String()
	}
	refused := func(what string, b *browser, page string) {
		t.Helper()
		status, text := b.visit(page, "")
		if status != http.StatusForbidden || b.session(s) != "" {
			t.Errorf("%s: %d %s", what, status, text)
		}
	}
	_, at := back("bob")
	refused("a browser that began no login", newBrowser(t), at.String())
	ann, _ := back("ann")
	refused("a browser that began another login", ann, at.String())
	b, at := back("ann")
	refused("without state", b, with(at, func(q url.Values) { q.Del("state") }))
	refused("when it was tried already", b, at.String())
	b, at = back("ann")
	refused("with another state beside it", b, with(at, func(q url.Values) { q.Add("state", "x") }))
	b, at = back("ann")
	refused("of another issuer", b, with(at, func(q url.Values) { q.Set("iss", "https://evil.example") }))
	b, at = back("ann")
	refused("of another identity", b, strings.Replace(at.String(), "/corp/", "/twin/", 1))
	b, at = back("ann")
	refused("with another code", b, with(at, func(q url.Values) { q.Set("code", "x") }))
	b, at = back("ann")
	refused("refused by the issuer", b, with(at, func(q url.Values) { q.Del("code"); q.Set("error", "<script>") }))

	// A code that was used logs nobody in, not even who has used it.
	b, at = back("ann")
	if status, text := b.visit(at.String(), ""); status != http.StatusOK || b.session(s) == "" {
		t.Fatalf("%d %s", status, text)
	}
	if status, _ := b.visit(at.String(), ""); status != http.StatusForbidden {
		t.Errorf("a login is finished twice: %d", status)
	}
	again, next := back("ann")
	used := at.Query().Get("code")
	refused("with a code that was used", again, with(next, func(q url.Values) { q.Set("code", used) }))

	for _, next := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/%2f/../x\ny", "http:/x", "x", "///evil.example", "/login/corp"} {
		b := newBrowser(t)
		status, text := b.visit(s.url+"/login/corp?next="+url.QueryEscape(next), "ann")
		if status != http.StatusOK || !strings.Contains(text, `content="0;url='/'"`) {
			t.Errorf("next %q leads to %d %s", next, status, text)
		}
	}
	if code, _, _ := s.do("GET", "/login/nobody", nil); code != 404 {
		t.Errorf("an identity that is not there: %d", code)
	}
	feed := p.mustRun("audit", "list", "-json", "-type=login.failed")
	if !strings.Contains(feed, `"subject": "identity.corp"`) || !strings.Contains(feed, `"count": 1`) {
		t.Errorf("the feed tells: %s", feed)
	}
}

// TestServerLoginRenewed: a session goes on when its ID token has expired, as long as
// the issuer renews it, and is over when it does not.
func TestServerLoginRenewed(t *testing.T) {
	_, s := loginServer(t, "2s")
	kept, short := newBrowser(t), newBrowser(t)
	kept.visit(s.url+"/login/corp", "ann")
	short.visit(s.url+"/login/twin", "bob")
	if short.set["tutti_session"] == nil {
		t.Fatal("nobody is logged in")
	}
	eventually(t, "the end of a session that nothing renews", func() bool { return short.session(s) == "" })
	if who := kept.session(s); !strings.Contains(who, `"user:ann@example.com"`) || !strings.Contains(who, `"group:corp-sre"`) {
		t.Errorf("the session that is renewed is of %q", who)
	}
}
