package triggers

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

const hookSecret = "whsec_cmVjb3JkZWQgcmVxdWVzdHMgYXJlIHNpZ25lZA=="

// recorded is the body of a request, with something replaced in it where nobody has
// recorded what is wanted.
func recorded(t *testing.T, file string, replace ...string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "recorded", file))
	if err != nil {
		t.Fatal(err)
	}
	if len(replace) == 0 {
		return body
	}
	out := bytes.Replace(body, []byte(replace[0]), []byte(replace[1]), 1)
	if bytes.Equal(out, body) {
		t.Fatalf("%s does not have %s", file, replace[0])
	}
	return out
}

// deliver sends a request as a host does, twice, since hosts send again what they think
// was not heard, and once in a way that must be refused. The webhook is called as the
// host; event is what GitHub says beside the body.
func deliver(t *testing.T, h *house, host, event string, body []byte) {
	t.Helper()
	hooks := &Hooks{Store: h.store, Secret: func(context.Context, *projects.Secret, string) (string, error) { return hookSecret, nil }}
	hooks.Set(h.project)
	var signed []string
	if host == "github" {
		sum := hmac.New(sha256.New, []byte(hookSecret))
		sum.Write(body)
		signed = []string{"X-GitHub-Event", event, "X-GitHub-Delivery", "delivery", "X-Hub-Signature-256", "sha256=" + hex.EncodeToString(sum.Sum(nil))}
	} else {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
		if err != nil {
			t.Fatal(err)
		}
		now := fmt.Sprint(time.Now().Unix())
		sum := hmac.New(sha256.New, key)
		fmt.Fprintf(sum, "delivery.%s.%s", now, body)
		signed = []string{"webhook-id", "delivery", "webhook-timestamp", now, "webhook-signature", "v1," + base64.StdEncoding.EncodeToString(sum.Sum(nil))}
	}
	send := func(body []byte) int {
		r := httptest.NewRequest(http.MethodPost, projects.HooksPrefix+host, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(signed); i += 2 {
			r.Header.Set(signed[i], signed[i+1])
		}
		w := httptest.NewRecorder()
		hooks.ServeHTTP(w, r)
		return w.Code
	}
	if code := send(append([]byte(" "), body...)); code != http.StatusUnauthorized {
		t.Errorf("with another body it is answered %d", code)
	}
	for range 2 {
		if code := send(body); code != http.StatusAccepted {
			t.Errorf("it is answered %d", code)
		}
	}
}

// recordedProject has what a project does with requests to merge and what becomes of
// them: a trigger for each kind of event.
const recordedProject = `
secret "hook" {
  store {}
}
webhook "github" {
  kind   = "github"
  secret = secret.hook
}
webhook "gitlab" {
  kind   = "gitlab"
  secret = secret.hook
}
workflow "w" {
  variable "text" { type = string }
  step "s" {
    emit { type = "x" }
  }
}
trigger "review" {
  on = {
    "$or" = [
      { type = [for action in ["opened", "reopened", "synchronize"] : "com.github.pull_request.${action}"] },
      { type = "com.gitlab.merge_request", data = { object_attributes = { action = ["open", "reopen", "update"] } } },
    ]
  }
  run    = workflow.w
  inputs = { text = "${event.source} ${event.subject}" }
}
trigger "merged" {
  on = {
    "$or" = [
      { type = "com.github.pull_request.closed", data = { pull_request = { merged = true } } },
      { type = "com.gitlab.merge_request", data = { object_attributes = { action = "merge" } } },
    ]
  }
  run    = workflow.w
  inputs = { text = "${event.source} ${event.subject}" }
}
trigger "deploy" {
  on = {
    type = ["com.github.push", "com.gitlab.push"]
    data = { ref = "refs/heads/master" }
  }
  run    = workflow.w
  inputs = { text = "${event.source} ${event.subject}" }
}
trigger "tag" {
  on = {
    data = { ref = [{ prefix = "refs/tags/" }], after = [{ anything-but = { prefix = "0000000" } }] }
  }
  run    = workflow.w
  inputs = { text = "${event.source} ${event.subject}" }
}
trigger "release" {
  on = {
    "$or" = [{ type = "com.github.release.published" }, { type = "com.gitlab.release", data = { action = "create" } }]
  }
  run    = workflow.w
  inputs = { text = "${event.source} ${try(event.data.release.tag_name, event.data.tag)}" }
}
`

// TestRecordedRequests sends what GitHub and GitLab send, signed as they sign it: each
// request starts what it is for, and nothing else, about the code it is about.
func TestRecordedRequests(t *testing.T) {
	const (
		hello   = "https://github.com/Codertocat/Hello-World"
		pushed  = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
		head    = "ec26c3e57ca3a959ca5aad62de7213c562f8c821"
		test    = "http://example.com/gitlabhq/gitlab-test"
		gitlabs = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"
	)
	of := func(repository, commit string, request int) *runs.Source {
		return &runs.Source{Repository: repository, Commit: commit, PullRequest: request}
	}
	type start struct {
		Trigger, Text string
		Source        *runs.Source
	}
	for _, c := range []struct {
		file    string
		event   string   // X-GitHub-Event
		replace []string // in the body, where nobody has recorded what is wanted
		want    *start   // nil where it starts nothing
	}{
		{file: "github/ping.json", event: "ping"},
		{file: "github/push.json", event: "push", want: &start{"deploy", hello + " refs/heads/master", of("Codertocat/Hello-World", pushed, 0)}},
		{file: "github/push_tag.json", event: "push", want: &start{"tag", hello + " refs/tags/simple-tag", of("Codertocat/Hello-World", pushed, 0)}},
		{file: "github/push_deleted.json", event: "push"},
		{file: "github/pull_request_opened.json", event: "pull_request", want: &start{"review", hello + " 2", of("Codertocat/Hello-World", head, 2)}},
		{file: "github/pull_request_synchronize.json", event: "pull_request", want: &start{"review", hello + " 2", of("Codertocat/Hello-World", head, 2)}},
		{file: "github/pull_request_closed.json", event: "pull_request"},
		{file: "github/pull_request_closed.json", event: "pull_request", replace: []string{`"merged":false`, `"merged":true`}, want: &start{"merged", hello + " 2", of("Codertocat/Hello-World", head, 2)}},
		{file: "github/release_published.json", event: "release", want: &start{"release", hello + " 0.0.1", nil}},
		{file: "gitlab/push.json", want: &start{"deploy", "http://example.com/mike/diaspora refs/heads/master", of("mike/diaspora", gitlabs, 0)}},
		{file: "gitlab/tag_push.json", want: &start{"tag", "http://example.com/jsmith/example refs/tags/v1.0.0", of("jsmith/example", "82b3d5ae55f7080f1e6022629cdb57bfae7cccc7", 0)}},
		{file: "gitlab/merge_request.json", want: &start{"review", test + " 1", of("gitlabhq/gitlab-test", gitlabs, 1)}},
		{file: "gitlab/merge_request.json", replace: []string{`"action": "open"`, `"action": "merge"`}, want: &start{"merged", test + " 1", of("gitlabhq/gitlab-test", gitlabs, 1)}},
		{file: "gitlab/release.json", want: &start{"release", "http://example.com/exm-namespace/example-project 1.0.0", nil}},
	} {
		t.Run(strings.TrimSpace(c.file+" "+strings.Join(c.replace, " ")), func(t *testing.T) {
			body := recorded(t, c.file, c.replace...)
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, recordedProject)
				h.live()
				time.Sleep(time.Second)
				deliver(t, h, filepath.Dir(c.file), c.event, body)
				time.Sleep(time.Second)
				list, err := h.store.Runs(t.Context(), runs.RunQuery{})
				if err != nil {
					t.Fatal(err)
				}
				var got []start
				for _, r := range list {
					trigger, _, _ := strings.Cut(r.ID, "-")
					got = append(got, start{trigger, h.started()[r.ID], r.Source})
				}
				var want []start
				if c.want != nil {
					if c.want.Source != nil {
						c.want.Source.Host = filepath.Dir(c.file) // it is the host's own word
					}
					want = append(want, *c.want)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("it starts (-want +got):\n%s", d)
				}
				if told := h.told(); len(told) > 0 {
					t.Errorf("told: %v", told)
				}
				h.die()
			})
		})
	}
}

// documented is the set-up that docs/ci.md has for Gitea, changed as it says for another
// host.
func documented(t *testing.T, host string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(heading string) string {
		_, rest, ok := strings.Cut(string(text), heading+"\n")
		if ok {
			_, rest, ok = strings.Cut(rest, "```hcl\n")
		}
		block, _, end := strings.Cut(rest, "```")
		if !ok || !end {
			t.Fatalf("docs/ci.md has nothing under %s", heading)
		}
		return block
	}
	replace := func(text string, pairs ...string) string {
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(text, pairs[i]) {
				t.Fatalf("the set-up does not have %s", pairs[i])
			}
			text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
		}
		return text
	}
	setup := "stack \"shop\" { source = \"./shop\" }\n" + replace(block("## Gitea and Forgejo, by webhooks"),
		"    api   = \"https://gitea.example.com/api/v1\"\n", "", "gitea", host, "\"main\"", "\"master\"", "refs/heads/main", "refs/heads/master")
	header := block("### The same at GitHub")
	if host == "github" {
		setup = replace(setup, "synchronized", "synchronize")
	} else {
		header = replace(header, "x-access-token", "oauth2", "github", "gitlab")
		for _, trigger := range strings.Split(strings.TrimSpace(block("### The same at GitLab")), "\n}\n") {
			trigger = replace(strings.TrimSuffix(trigger, "\n}")+"\n}\n", "main", "master")
			name, _, _ := strings.Cut(trigger, " {")
			before, rest, ok := strings.Cut(setup, name+" {")
			if _, after, ended := strings.Cut(rest, "\n}\n"); ok && ended {
				setup = before + trigger + after
			} else {
				t.Fatalf("no %s in\n%s", name, setup)
			}
		}
	}
	return replace(setup, fmt.Sprintf("    GIT_CONFIG_VALUE_0 = \"Authorization: token ${secret.%s_token}\"\n", host), header)
}

// TestDocumentedTriggers: what docs/ci.md says for GitHub and GitLab starts what it is
// to start, with what it needs, when these hosts send what they send.
func TestDocumentedTriggers(t *testing.T) {
	const pushed, head, gitlabs = "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "ec26c3e57ca3a959ca5aad62de7213c562f8c821", "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"
	review := func(number int, commit string) string {
		return fmt.Sprintf(`review {"commit":%q,"number":%d}`, commit, number)
	}
	for _, c := range []struct {
		file, event, want string
		replace           []string
	}{
		{file: "github/pull_request_opened.json", event: "pull_request", want: review(2, head)},
		{file: "github/pull_request_synchronize.json", event: "pull_request", want: review(2, head)},
		{file: "github/pull_request_opened.json", event: "pull_request", replace: []string{`"ref":"master"`, `"ref":"release"`}},
		{file: "github/pull_request_opened.json", event: "pull_request", replace: []string{`"full_name":"Codertocat/Hello-World"`, `"full_name":"somebody/Hello-World"`}}, // that of the head: a fork
		{file: "github/pull_request_closed.json", event: "pull_request"},
		{file: "github/push.json", event: "push", want: fmt.Sprintf(`merged {"commit":%q}`, pushed)},
		{file: "github/push_tag.json", event: "push"},
		{file: "gitlab/merge_request.json", want: review(1, gitlabs)},
		{file: "gitlab/merge_request.json", replace: []string{`"action": "open"`, `"action": "update"`}, want: review(1, gitlabs)},
		{file: "gitlab/merge_request.json", replace: []string{`"action": "open"`, `"action": "merge"`}},
		{file: "gitlab/merge_request.json", replace: []string{`"source_project_id": 14`, `"source_project_id": 15`}},
		{file: "gitlab/push.json", want: fmt.Sprintf(`merged {"commit":%q}`, gitlabs)},
		{file: "gitlab/tag_push.json"},
	} {
		t.Run(strings.TrimSpace(c.file+" "+strings.Join(c.replace, " ")), func(t *testing.T) {
			body := recorded(t, c.file, c.replace...)
			setup := documented(t, filepath.Dir(c.file))
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, setup)
				h.live()
				time.Sleep(time.Second)
				deliver(t, h, filepath.Dir(c.file), c.event, body)
				time.Sleep(time.Second)
				got := ""
				for run, inputs := range h.inputs() {
					bare := inputs.AsValueMap()
					delete(bare, "least") // the project's
					inputs = cty.ObjectVal(bare)
					data, err := ctyjson.Marshal(inputs, inputs.Type())
					if err != nil {
						t.Fatal(err)
					}
					trigger, _, _ := strings.Cut(run, "-")
					got += trigger + " " + string(data)
				}
				if told := h.told(); got != c.want || len(told) > 0 {
					t.Errorf("it starts %q, want %q; told: %v", got, c.want, told)
				}
				h.die()
			})
		})
	}
}
