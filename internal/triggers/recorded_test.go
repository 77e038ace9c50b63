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
)

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
		secret  = "whsec_cmVjb3JkZWQgcmVxdWVzdHMgYXJlIHNpZ25lZA=="
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
			body, err := os.ReadFile(filepath.Join("testdata", "recorded", c.file))
			if err != nil {
				t.Fatal(err)
			}
			if c.replace != nil {
				before := body
				if body = bytes.ReplaceAll(body, []byte(c.replace[0]), []byte(c.replace[1])); bytes.Equal(before, body) {
					t.Fatalf("it does not have %s", c.replace[0])
				}
			}
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, recordedProject)
				hooks := &Hooks{Store: h.store, Secret: func(context.Context, *projects.Secret, string) (string, error) { return secret, nil }}
				hooks.Set(h.project)
				h.live()
				time.Sleep(time.Second)
				host := filepath.Dir(c.file)
				send := func(body []byte, headers ...string) int {
					r := httptest.NewRequest(http.MethodPost, projects.HooksPrefix+host, bytes.NewReader(body))
					r.Header.Set("Content-Type", "application/json")
					for i := 0; i < len(headers); i += 2 {
						r.Header.Set(headers[i], headers[i+1])
					}
					w := httptest.NewRecorder()
					hooks.ServeHTTP(w, r)
					return w.Code
				}
				var signed []string
				if host == "github" {
					sum := hmac.New(sha256.New, []byte(secret))
					sum.Write(body)
					signed = []string{"X-GitHub-Event", c.event, "X-GitHub-Delivery", "delivery", "X-Hub-Signature-256", "sha256=" + hex.EncodeToString(sum.Sum(nil))}
				} else {
					key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
					if err != nil {
						t.Fatal(err)
					}
					now := fmt.Sprint(time.Now().Unix())
					sum := hmac.New(sha256.New, key)
					fmt.Fprintf(sum, "delivery.%s.%s", now, body)
					signed = []string{"webhook-id", "delivery", "webhook-timestamp", now, "webhook-signature", "v1," + base64.StdEncoding.EncodeToString(sum.Sum(nil))}
				}
				if code := send(append([]byte(" "), body...), signed...); code != http.StatusUnauthorized {
					t.Errorf("with another body it is answered %d", code)
				}
				for range 2 { // hosts send again what they think was not heard
					if code := send(body, signed...); code != http.StatusAccepted {
						t.Errorf("it is answered %d", code)
					}
				}
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
