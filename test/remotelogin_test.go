package test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// logsIn runs "tutti login" as somebody who opens the page that the program opens.
func (p *project) logsIn(as string, args ...string) string {
	p.t.Helper()
	page := filepath.Join(p.t.TempDir(), "page")
	opener := filepath.Join(filepath.Dir(page), "opener")
	if err := os.WriteFile(opener, []byte("#!/bin/sh\nprintf %s \"$1\" > '"+page+".new' && mv '"+page+".new' '"+page+"'\n"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	cmd := p.command(append([]string{"login"}, args...)...)
	cmd.Env = append(cmd.Env, "BROWSER="+opener)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	eventually(p.t, "the page to log in at", func() bool {
		select {
		case err := <-ended:
			p.t.Fatalf("tutti login ended: %v\n%s", err, said.String())
		default:
		}
		_, err := os.Stat(page)
		return err == nil
	})
	at, err := os.ReadFile(page)
	if err != nil {
		p.t.Fatal(err)
	}
	newBrowser(p.t).visit(string(at), as)
	if err := <-ended; err != nil {
		p.t.Fatalf("tutti login: %v\n%s", err, said.String())
	}
	return said.String()
}

// TestRemoteLogin: who logs in to a server is known there, and nowhere else.
func TestRemoteLogin(t *testing.T) {
	p, s := loginServer(t, "1h")
	p.write("access.tutti.hcl", "role \"all\" { allow = [\"*:*\"] }\ngrant {\n  role = role.all\n  to   = [\"group:corp-sre\", \"service:robot\", \"user:"+p.whoami()+"\"]\n}\n")
	at := strings.Replace(s.url, "localhost", "127.0.0.1", 1)
	c := s.client()
	c.fails(`log in with "tutti login"`, "whoami")
	c.fails("One can log in to", "login")
	c.fails(`has no identity "none" to log in with. There are: corp, twin.`, "login", "-identity=none")
	c.fails("Option -flow must be", "login", "-identity=corp", "-flow=carrier")
	if said := c.logsIn("ann", "-identity=corp"); !strings.Contains(said, "Logged in to "+s.url+" as user:ann@example.com.") || !strings.Contains(said, "The server "+s.url+" believes what http://") {
		t.Errorf("login: %s", said)
	}
	if out := c.mustRun("whoami"); !strings.Contains(out, "user:ann@example.com") || !strings.Contains(out, "group:corp-sre") {
		t.Errorf("whoami: %s", out)
	}
	c.mustRun("run", "greet", "-var", "name=you")
	if out := p.mustRun("audit", "list", "-json", "-type=run.succeeded"); !strings.Contains(out, "ann@example.com") {
		t.Errorf("the feed tells: %s", out)
	}
	// What is kept tells nothing, and a token in the environment goes before it.
	if out, err := exec.Command("grep", "-r", "-e", "eyJ", "-e", "ann@example.com", filepath.Join(c.dir, ".config")).CombinedOutput(); err == nil {
		t.Errorf("somebody can read: %s", out)
	}
	robot := *c
	robot.env = append(robot.env[:len(robot.env):len(robot.env)], "TUTTI_TOKEN="+p.lastLine(p.mustRun("token", "create", "-as=service:robot", "-role=all")))
	if out := robot.mustRun("whoami"); !strings.Contains(out, "service:robot") {
		t.Errorf("whoami with a token: %s", out)
	}

	// Another way to write the address is the same place; another place is not.
	same := *c
	same.env = append(c.env[:len(c.env):len(c.env)], "TUTTI_ADDR="+strings.Replace(s.url, "localhost", "LOCALHOST", 1)+"/")
	same.mustRun("whoami")
	var mu sync.Mutex
	var shown []string
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		shown = append(shown, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer thief.Close()
	for _, address := range []string{thief.URL, at} {
		other := *c
		other.env = append(c.env[:len(c.env):len(c.env)], "TUTTI_ADDR="+address)
		other.fails("Token needed", "whoami")
	}
	mu.Lock()
	if len(shown) == 0 || strings.Join(shown, "") != "" {
		t.Errorf("another server was shown %q", shown)
	}
	mu.Unlock()
	plain := *c
	plain.env = append(c.env[:len(c.env):len(c.env)], "TUTTI_ADDR=http://tutti.example.com")
	plain.fails("Token would be sent in clear", "login")

	// A server that does not know the issuer any more, or never did.
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	declared, err := os.ReadFile(filepath.Join(p.dir, "identity.tutti.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("identity.tutti.hcl", "")
	again := []string{"-listen=" + strings.TrimPrefix(at, "http://"), "-url=" + s.url, "-require-token"}
	s = p.server(again...)
	c.fails(`does not accept the login with the identity "corp"`, "run", "greet", "-var", "name=you")
	c.fails("has no identity to log in with", "login")
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	p.write("identity.tutti.hcl", string(declared))
	p.server(again...)
	c.mustRun("whoami")
	if out := c.mustRun("logout"); !strings.Contains(out, "Logged out of "+s.url) {
		t.Errorf("logout: %s", out)
	}
	c.fails("Token needed", "whoami")
	if out := c.mustRun("logout"); !strings.Contains(out, "Nobody is logged in") {
		t.Errorf("logout again: %s", out)
	}
}

// TestRemoteLoginRenewed: a login is renewed before it ends, also by a command that
// follows a run for longer than its token is good; without anything to renew it with it
// ends, and says so.
func TestRemoteLoginRenewed(t *testing.T) {
	p, s := loginServer(t, "3s")
	p.write("more.tutti.hcl", remoteWorkflows)
	c, short := s.client(), s.client()
	if said := short.logsIn("bob", "-identity=twin", "-flow=browser"); !strings.Contains(said, "The login ends soon") {
		t.Errorf("login: %s", said)
	}
	c.logsIn("ann", "-identity=corp", "-flow=browser")
	used := func() int {
		return len(regexp.MustCompile(`"subject": "sha256:`).FindAllString(p.mustRun("audit", "list", "-json", "-type=token.used"), -1))
	}
	cmd := c.command("run", "slow")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a run", func() bool { return strings.Contains(p.mustRun("runs"), "running") })
	before := used()
	eventually(t, "more tokens of somebody who only follows a run", func() bool { return used() > before+1 })
	p.write("go", "")
	if err := cmd.Wait(); err != nil || !strings.Contains(said.String(), "succeeded") {
		t.Errorf("%v: %s", err, said.String())
	}
	short.fails("Login is over", "whoami")
	c.mustRun("whoami")
}
