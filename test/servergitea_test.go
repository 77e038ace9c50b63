//go:build gitea

package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gitea is a real Gitea with a user who administers it and one that Tutti is.
type gitea struct {
	t     *testing.T
	url   string
	token string // of whoever asks
}

const giteaSettings = `
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
RUN_MODE = prod
RUN_USER = {user}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
STATIC_ROOT_PATH = {share}
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {dir}/gitea.db
[repository]
ROOT = {dir}/repositories
[indexer]
ISSUE_INDEXER_TYPE = db
[security]
INSTALL_LOCK = true
PASSWORD_HASH_ALGO = pbkdf2$1000$50
[webhook]
ALLOWED_HOST_LIST = loopback
[cron]
ENABLED = false
[actions]
ENABLED = false
[log]
MODE = console
LEVEL = Warn
`

// newGitea starts the Gitea that scripts/gitea.sh builds.
func newGitea(t *testing.T) *gitea {
	t.Helper()
	built, err := filepath.Abs("../.cache/build/gitea")
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), unused(t)
	user, err := exec.Command("id", "-un").Output()
	if err != nil {
		t.Fatal(err)
	}
	settings := strings.NewReplacer("{user}", strings.TrimSpace(string(user)), "{port}", address[strings.LastIndex(address, ":")+1:], "{share}", built+"/share", "{dir}", dir).Replace(giteaSettings)
	if err := os.WriteFile(dir+"/app.ini", []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(built+"/gitea", append([]string{"--config", dir + "/app.ini", "--work-path", dir}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		return cmd
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := command(args...).CombinedOutput()
		if err != nil {
			t.Fatalf("gitea %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("migrate")
	run("admin", "user", "create", "--admin", "--username", "ann", "--password", "correct horse", "--email", "ann@example.com", "--must-change-password=false")
	web := command("web")
	log, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	web.Stdout, web.Stderr = log, log
	web.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := web.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = web.Process.Signal(syscall.SIGTERM) // so that it ends the git processes it started
		_ = web.Wait()
		log.Close()
		if text, err := os.ReadFile(dir + "/log"); err == nil && t.Failed() {
			t.Logf("Gitea says:\n%s", text)
		}
	})
	g := &gitea{t: t, url: "http://" + address}
	eventually(t, "Gitea answers", func() bool {
		resp, err := http.Get(g.url + "/api/v1/version")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	g.token = g.newToken("ann", "all")
	return g
}

// newToken makes a token of a user with the password that all of them have.
func (g *gitea) newToken(user string, scopes ...string) string {
	g.t.Helper()
	data, err := json.Marshal(map[string]any{"name": "test", "scopes": scopes})
	if err != nil {
		g.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, g.url+"/api/v1/users/"+user+"/tokens", bytes.NewReader(data))
	if err != nil {
		g.t.Fatal(err)
	}
	req.SetBasicAuth(user, "correct horse")
	req.Header.Set("Content-Type", "application/json")
	var made struct {
		SHA1 string `json:"sha1"`
	}
	g.send(req, http.StatusCreated, &made)
	return made.SHA1
}

func (g *gitea) send(req *http.Request, want int, into any) {
	g.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		g.t.Fatalf("%s %s: %d %v %s", req.Method, req.URL, resp.StatusCode, err, data)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(data, into); err != nil {
		g.t.Fatalf("%s %s: %v in %s", req.Method, req.URL, err, data)
	}
}

// api asks for something with the token of whoever administers it.
func (g *gitea) api(method, path string, body any, want int, into any) {
	g.t.Helper()
	var sent io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			g.t.Fatal(err)
		}
		sent = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, g.url+"/api/v1"+path, sent)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "token "+g.token)
	req.Header.Set("Content-Type", "application/json")
	g.send(req, want, into)
}

// clone is somebody's working copy.
type clone struct {
	t   *testing.T
	dir string
	env []string
}

// git runs git in the working copy, with a token that is in no file.
func (g *gitea) clone(dir, token string) *clone {
	return &clone{g.t, dir, append(os.Environ(), "HOME="+g.t.TempDir(), "GIT_TERMINAL_PROMPT=0", "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: token "+token)}
}

func (c *clone) git(args ...string) string {
	c.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files, commits them and pushes the branch.
func (c *clone) commit(branch, message string, files map[string]string) (commit string) {
	c.t.Helper()
	for name, text := range files {
		path := filepath.Join(c.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
	c.git("add", "-A")
	c.git("commit", "-q", "-m", message)
	c.git("push", "-q", "origin", "HEAD:refs/heads/"+branch)
	return c.git("rev-parse", "HEAD")
}

const infra = "/repos/acme/infra"

// status is the newest status of a commit under a name, and what it says.
func (g *gitea) status(commit, name string) (state, description, link string) {
	g.t.Helper()
	var combined struct {
		Statuses []struct {
			Context, Status, Description string
			TargetURL                    string `json:"target_url"`
		}
	}
	g.api("GET", infra+"/commits/"+commit+"/status", nil, 200, &combined)
	for _, s := range combined.Statuses {
		if s.Context == name {
			return s.Status, s.Description, s.TargetURL
		}
	}
	return "", "", ""
}

// awaitBranch waits until Gitea has taken in what was pushed, which it does by and by.
func (g *gitea) awaitBranch(name, commit string) {
	g.t.Helper()
	eventually(g.t, "the branch "+name, func() bool {
		var list []struct {
			Name   string
			Commit struct{ ID string }
		}
		g.api("GET", infra+"/branches", nil, 200, &list)
		for _, b := range list {
			if b.Name == name {
				return b.Commit.ID == commit
			}
		}
		return false
	})
}

type giteaComment struct {
	ID      int64
	Body    string
	User    struct{ Login string }
	Created time.Time `json:"created_at"`
}

func (g *gitea) comments(request int) (list []giteaComment) {
	g.t.Helper()
	g.api("GET", fmt.Sprintf("%s/issues/%d/comments", infra, request), nil, 200, &list)
	return list
}

// awaitStatus waits until a commit has a status, as good or as bad as it is to be.
func (g *gitea) awaitStatus(commit, name, want string) (description string) {
	g.t.Helper()
	state := ""
	eventually(g.t, "the status "+want+" of "+name, func() bool {
		var link string
		state, description, link = g.status(commit, name)
		if state == want && !strings.HasPrefix(link, "https://tutti.example.com/") {
			g.t.Fatalf("the status leads to %q", link)
		}
		return state != "" && state != "pending"
	})
	if state != want {
		g.t.Fatalf("%s is %s: %s", name, state, description)
	}
	return description
}

// giteaSetup is the set-up that docs/ci.md has, for this Gitea.
func giteaSetup(t *testing.T, g *gitea) string {
	t.Helper()
	text, err := os.ReadFile("../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)## Gitea and Forgejo.*?```hcl\n(.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatal("docs/ci.md has no set-up for Gitea")
	}
	setup := strings.Replace(string(found[1]), "https://gitea.example.com", g.url, 1)
	setup = strings.Replace(setup, "notify \"gitea\" {\n", "notify \"gitea\" {\n  allow_private = [\"127.0.0.0/8\"]\n", 1)
	return setup
}

const infraShop = `
resource "terraform_data" "web" {
  input = { class = "small", count = 2 }
}
output "class" {
  value = terraform_data.web.output.class
}
`

// infraFiles are the repository before anybody asks for a change.
func infraFiles(t *testing.T, g *gitea) map[string]string {
	return map[string]string{
		".gitignore":             ".checkouts/\n",
		"pullrequests.tutti.hcl": giteaSetup(t, g),
		"project.tutti.hcl":      "stack \"shop\" { source = \"./shop\" }\npolicy \"sizes\" { source = \"./rules\" }\n",
		"shop/main.tf":           infraShop,
		"rules/sizes.rego":       "package main\ndeny contains msg if {\n  some c in input.resource_changes\n  c.change.after.input.class == \"huge\"\n  msg := \"no huge machines\"\n}\n",
		"prices/own.csv":         "type,component,match,quantity,unit,price,currency\nterraform_data,compute,input.class=small,input.count:1,month,10,USD\nterraform_data,compute,input.class=large,input.count:1,month,40,USD\nterraform_data,compute,input.class=huge,input.count:1,month,90,USD\n",
	}
}

// TestGitea follows a change from the branch where it is made until it is there, at a
// real host of code, as docs/ci.md sets that up.
func TestGitea(t *testing.T) {
	g := newGitea(t)
	g.api("POST", "/orgs", map[string]any{"username": "acme"}, 201, nil)
	g.api("POST", "/orgs/acme/repos", map[string]any{"name": "infra", "private": true, "default_branch": "main"}, 201, nil)
	g.api("POST", "/admin/users", map[string]any{"username": "tutti", "password": "correct horse", "email": "tutti@example.com", "must_change_password": false}, 201, nil)
	g.api("PUT", infra+"/collaborators/tutti", map[string]any{"permission": "write"}, 204, nil)
	token := g.newToken("tutti", "write:repository", "write:issue")

	ann := g.clone(t.TempDir(), g.token)
	ann.git("init", "-q", "-b", "main")
	ann.git("remote", "add", "origin", g.url+"/acme/infra.git")
	ann.commit("main", "Begin", infraFiles(t, g))

	g.api("POST", infra+"/branch_protections", map[string]any{"rule_name": "main", "enable_push": true, "enable_status_check": true, "status_check_contexts": []string{"tutti/*/review"}}, 201, nil)

	// The server's directory is a clone.
	p := newServed(t)
	if err := os.RemoveAll(p.dir); err != nil {
		t.Fatal(err)
	}
	g.clone(filepath.Dir(p.dir), token).git("clone", "-q", g.url+"/acme/infra.git", p.dir)
	p.env = append(p.env, "GIT_TERMINAL_PROMPT=0")
	const hookSecret = "a long random text"
	for name, value := range map[string]string{"hook": hookSecret, "gitea_token": token} {
		cmd := p.command("secret", "set", name)
		cmd.Stdin = strings.NewReader(value)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	p.mustRun("apply", "-auto-approve")
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := p.run("runs")
			for _, line := range strings.Split(out, "\n") {
				if fields := strings.Fields(line); len(fields) > 0 {
					said, _ := p.run("logs", fields[0])
					out += fields[0] + ":\n" + said
				}
			}
			t.Logf("The runs are\n%s", out)
		}
	})
	address := unused(t)
	serve := func() *httpServer {
		s := p.server("-listen="+address, "-url=https://tutti.example.com")
		s.url = "http://" + address // where it is, and not what people know it by
		return s
	}
	s := serve()

	// A webhook with another secret is refused, and starts nothing.
	hook := func(secret string) int64 {
		t.Helper()
		var made struct{ ID int64 }
		g.api("POST", infra+"/hooks", map[string]any{"type": "gitea", "active": true, "events": []string{"push", "pull_request", "pull_request_sync"},
			"config": map[string]string{"url": s.url + "/hooks/gitea", "content_type": "json", "secret": secret}}, 201, &made)
		return made.ID
	}
	wrong := hook("another text")
	ann.git("checkout", "-q", "-b", "larger")
	first := ann.commit("larger", "Make it larger", map[string]string{"shop/main.tf": strings.Replace(infraShop, "small", "large", 1)})
	g.awaitBranch("larger", first)
	var request struct{ Number int }
	g.api("POST", infra+"/pulls", map[string]any{"title": "Larger", "head": "larger", "base": "main"}, 201, &request)
	eventually(t, "the refusal of what is signed wrongly", func() bool {
		_, data, _ := s.do("GET", "/metrics", nil)
		return regexp.MustCompile(`tutti_http_requests_total\{.*status="401"`).Match(data)
	})
	if made := s.runsOf("review-"); len(made) != 0 {
		t.Errorf("a webhook with a wrong secret starts %v", made)
	}
	g.api("DELETE", fmt.Sprintf("%s/hooks/%d", infra, wrong), nil, 204, nil)
	hook(hookSecret)
	g.api("PATCH", fmt.Sprintf("%s/pulls/%d", infra, request.Number), map[string]any{"state": "closed"}, 201, nil)
	g.api("PATCH", fmt.Sprintf("%s/pulls/%d", infra, request.Number), map[string]any{"state": "open"}, 201, nil)

	// What the request changes and costs is at its commit and in one comment.
	if text := g.awaitStatus(first, "tutti/default/review", "success"); text != "0 to add, 1 to change, 0 to destroy; +$60.00 a month" {
		t.Errorf("the status says %q", text)
	}
	var comments []giteaComment
	eventually(t, "the comment", func() bool { comments = g.comments(request.Number); return len(comments) > 0 })
	for _, want := range []string{"### ✅ Tutti: 0 to add, 1 to change, 0 to destroy", "| update | `terraform_data.web` |", "+$60.00", "passed", first[:12]} {
		if !strings.Contains(comments[0].Body, want) {
			t.Errorf("the comment does not have %q:\n%s", want, comments[0].Body)
		}
	}
	if comments[0].User.Login != "tutti" {
		t.Errorf("the comment is by %s", comments[0].User.Login)
	}

	// A second push changes the comment, with a server that dies meanwhile.
	second := ann.commit("larger", "Make it huge", map[string]string{"shop/main.tf": strings.Replace(infraShop, "small", "huge", 1)})
	eventually(t, "the run of the second push", func() bool { return len(s.runsOf("review-")) == 2 })
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s = serve()
	if text := g.awaitStatus(second, "tutti/default/review", "failure"); !strings.Contains(text, "policy: 1 denied") {
		t.Errorf("the status says %q", text)
	}
	eventually(t, "the new comment", func() bool {
		comments = g.comments(request.Number)
		return strings.Contains(comments[0].Body, second[:12])
	})
	for _, want := range []string{"❌", "**Denied** by `sizes`", "no huge machines", "+$160.00"} {
		if !strings.Contains(comments[0].Body, want) {
			t.Errorf("the comment does not have %q:\n%s", want, comments[0].Body)
		}
	}

	mergeable := func() {
		t.Helper()
		eventually(t, "Gitea finds that the request can be merged", func() bool {
			var request struct{ Mergeable bool }
			g.api("GET", infra+"/pulls/1", nil, 200, &request)
			return request.Mergeable
		})
	}
	mergeable()
	var refused struct{ Message string }
	g.api("POST", infra+"/pulls/1/merge", map[string]any{"Do": "merge"}, 405, &refused)
	if !strings.Contains(refused.Message, "status checks") {
		t.Errorf("the merge is refused with %q", refused.Message)
	}

	// A third one, with a stack that is new, is merged.
	third := ann.commit("larger", "Make it large, and more", map[string]string{
		"shop/main.tf":      strings.Replace(infraShop, "small", "large", 1),
		"extra/main.tf":     "resource \"terraform_data\" \"extra\" {\n  input = { class = \"small\" }\n}\n",
		"project.tutti.hcl": "stack \"shop\" { source = \"./shop\" }\nstack \"extra\" { source = \"./extra\" }\npolicy \"sizes\" { source = \"./rules\" }\n",
		"pullrequests.tutti.hcl": strings.Replace(giteaSetup(t, g), "  step \"shop\" {", `  step "extra" {
    apply {
      stack = stack.extra
      plan  = step.plan.outputs.digest
    }
  }
  step "shop" {
    needs = [step.extra]`, 1),
	})
	if text := g.awaitStatus(third, "tutti/default/review", "success"); !strings.HasPrefix(text, "1 to add, 1 to change") {
		t.Errorf("the status says %q", text)
	}
	eventually(t, "the last comment", func() bool {
		comments = g.comments(request.Number)
		return strings.Contains(comments[0].Body, third[:12])
	})
	if len(comments) != 1 {
		t.Errorf("there are %d comments", len(comments))
	}
	if out := p.mustRun("output", "-stack=shop", "-raw", "class"); out != "small" {
		t.Errorf("a review changes something: %s", out)
	}
	mergeable()
	g.api("POST", infra+"/pulls/1/merge", map[string]any{"Do": "merge"}, 200, nil)
	eventually(t, "the run of the merge", func() bool { return len(s.runsOf("merged-")) == 1 })
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s = serve()
	var branch struct{ Commit struct{ ID string } }
	g.api("GET", infra+"/branches/main", nil, 200, &branch)
	g.awaitStatus(branch.Commit.ID, "tutti/default/update", "success")
	if text := g.awaitStatus(branch.Commit.ID, "tutti/default/deploy", "success"); !strings.HasPrefix(text, "1 to add, 1 to change, 0 to destroy") {
		t.Errorf("the status says %q", text)
	}
	if out := p.mustRun("output", "-stack=shop", "-raw", "class"); out != "large" {
		t.Errorf("what was merged is not applied: %s", out)
	}
	if out := p.mustRun("state", "list"); !strings.Contains(out, "stack.extra.terraform_data.extra") {
		t.Errorf("what was merged is not applied: %s", out)
	}
	if left, _ := filepath.Glob(p.dir + "/.checkouts/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// Code of those who may not push is not planned: the request after theirs is.
	g.api("POST", "/admin/users", map[string]any{"username": "bob", "password": "correct horse", "email": "bob@example.com", "must_change_password": false}, 201, nil)
	g.api("PUT", infra+"/collaborators/bob", map[string]any{"permission": "read"}, 204, nil)
	bob := *g
	bob.token = g.newToken("bob", "all")
	bob.api("POST", infra+"/forks", map[string]any{}, 202, nil)
	file := map[string]any{"content": "YmFk", "message": "Add a file", "branch": "main", "new_branch": "bad"}
	bob.api("POST", "/repos/bob/infra/contents/bad.tf", file, 201, nil)
	bob.api("POST", infra+"/pulls", map[string]any{"title": "Bad", "head": "bob:bad", "base": "main"}, 201, nil)
	file["new_branch"] = "good"
	g.api("POST", infra+"/contents/shop/note.txt", file, 201, nil)
	g.api("POST", infra+"/pulls", map[string]any{"title": "Good", "head": "good", "base": "main"}, 201, nil)
	eventually(t, "the review of the last request", func() bool { return len(g.comments(3)) == 1 })
	if list := g.comments(2); len(list) != 0 {
		t.Errorf("what was forked is planned: %+v", list)
	}

	// Each is done once, and the credentials are nowhere.
	for prefix, want := range map[string]int{"review-": 4, "merged-": 1, "deploy-": 1} {
		count := 0
		made := s.runsOf(prefix)
		for run, status := range made {
			if status != "succeeded" {
				t.Errorf("run %s is %s", run, status)
			}
			if !strings.Contains(run, ".") { // those are its steps
				count++
			}
		}
		if count != want {
			t.Errorf("runs of %s: %v", prefix, made)
		}
	}
	everything := p.mustRun("audit", "export") + p.mustRun("deliveries", "list", "-json")
	for id := range s.runsOf("") {
		everything += p.mustRun("logs", id)
	}
	if strings.Contains(everything, token) || strings.Contains(everything, hookSecret) {
		t.Error("a secret is told")
	}
	var dead deliveryList
	s.get(&dead, 200, "GET", "/deliveries?status=dead", nil)
	if len(dead.Items) > 0 {
		t.Errorf("dead deliveries: %+v", dead.Items)
	}
}
