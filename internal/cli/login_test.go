package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// loginStory runs a login against a host that offers what discovery says.
func loginStory(t *testing.T, discovery string, input io.Reader, browse func(page string)) (code int, out, saved string) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/terraform.json":
			fmt.Fprint(w, discovery)
		case "/token":
			_ = r.ParseForm()
			if r.Form.Get("code") != "the-code" || r.Form.Get("code_verifier") == "" {
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"error":"invalid_grant"}`)
				return
			}
			fmt.Fprint(w, `{"access_token":"from-browser"}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer host.Close()
	screenOut := &watchedBuffer{onLine: browse}
	app := newApp(input, screenOut, screenOut, commands())
	l := &login{app: app, client: host.Client(), prompt: app.prompter()}
	name := strings.TrimPrefix(host.URL, "https://")
	code = l.run(context.Background(), []string{name})
	raw, err := os.ReadFile(filepath.Join(home, ".terraform.d", "credentials.tfrc.json"))
	if err == nil {
		var doc struct {
			Credentials map[string]struct{ Token string }
		}
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		saved = doc.Credentials[name].Token
	}
	return code, screenOut.String(), saved
}

func TestLoginWithPastedToken(t *testing.T) {
	code, out, saved := loginStory(t, `{"tfe.v2.1": "/api/v2/"}`, strings.NewReader("  secret-token \n"), nil)
	if code != exitOK || saved != "secret-token" {
		t.Fatalf("exit %d, saved %q, output:\n%s", code, saved, out)
	}
	if !strings.Contains(out, "/app/settings/tokens") {
		t.Errorf("the page for tokens is not named:\n%s", out)
	}
}

func TestLoginWithoutInput(t *testing.T) {
	code, out, saved := loginStory(t, `{"tfe.v2.1": "/api/v2/"}`, strings.NewReader(""), nil)
	if code != exitFailed || saved != "" {
		t.Fatalf("exit %d, saved %q, output:\n%s", code, saved, out)
	}
}

func TestLoginWithBrowser(t *testing.T) {
	discovery := `{"login.v1": {"client": "tutti-cli", "grant_types": ["authz_code"], "authz": "/authz", "token": "/token", "ports": [20000, 20100]}}`
	browse := func(page string) {
		u, err := url.Parse(page)
		if err != nil || u.Query().Get("redirect_uri") == "" {
			return
		}
		back := u.Query().Get("redirect_uri") + "?code=the-code&state=" + url.QueryEscape(u.Query().Get("state"))
		go func() {
			resp, err := http.Get(back)
			if err == nil {
				_ = resp.Body.Close()
			}
		}()
	}
	code, out, saved := loginStory(t, discovery, strings.NewReader(""), browse)
	if code != exitOK || saved != "from-browser" {
		t.Fatalf("exit %d, saved %q, output:\n%s", code, saved, out)
	}
}

// watchedBuffer collects output and hands every address in it to onLine.
type watchedBuffer struct {
	bytes.Buffer
	onLine func(string)
}

func (b *watchedBuffer) Write(p []byte) (int, error) {
	if b.onLine != nil {
		for _, u := range regexp.MustCompile(`https?://\S+`).FindAllString(string(p), -1) {
			b.onLine(u)
		}
	}
	return b.Buffer.Write(p)
}
