package triggers

import (
	"encoding/json"
	"testing"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

func TestSourceOf(t *testing.T) {
	const sha = "0123456789abcdef0123456789abcdef01234567"
	for _, c := range []struct {
		kind, data string
		want       *runs.Source
	}{
		{"com.github.push", `{"after":"` + sha + `","repository":{"full_name":"org/shop"}}`, &runs.Source{Repository: "org/shop", Commit: sha}},
		{"com.github.push", `{"after":"ffffffffffffffffffffffffffffffffffffffff","head_commit":{"id":"` + sha + `"},"repository":{"full_name":"org/shop"}}`, &runs.Source{Repository: "org/shop", Commit: sha}},
		{"com.gitea.push", `{"after":"0000000000000000000000000000000000000000","repository":{"full_name":"org/shop"}}`, nil},
		{"com.github.pull_request.opened", `{"repository":{"full_name":"org/shop"},"pull_request":{"number":7,"head":{"sha":"` + sha + `"}}}`, &runs.Source{Repository: "org/shop", Commit: sha, PullRequest: 7}},
		{"com.gitlab.push", `{"checkout_sha":null,"project":{"path_with_namespace":"org/sub/shop"}}`, nil},
		{"com.gitlab.merge_request", `{"project":{"path_with_namespace":"org/sub/shop"},"object_attributes":{"iid":3,"last_commit":{"id":"` + sha + `"}}}`, &runs.Source{Repository: "org/sub/shop", Commit: sha, PullRequest: 3}},
		{"com.github.issues.opened", `{"repository":{"full_name":"org/shop"}}`, nil},
		{"com.github.push", `{"after":7}`, nil},
		{"com.slack.push", `{"after":"` + sha + `"}`, nil},
		{"push", `{"after":"` + sha + `"}`, nil},
		{"com.github.push", ``, nil},
	} {
		got := sourceOf(&projects.Project{}, &events.Event{Type: c.kind, Data: json.RawMessage(c.data)})
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s %s: %+v, want %+v", c.kind, c.data, got, c.want)
		}
	}
}

// TestWhoseWordCounts: a host's own, by a webhook of its kind that lets in nobody else.
func TestWhoseWordCounts(t *testing.T) {
	p := &projects.Project{Webhooks: map[string]*projects.Webhook{
		"code": {Kind: "github"}, "lab": {Kind: "gitlab"}, "relay": {Kind: "cloudevents"}, "open": {Kind: "github", Open: true},
	}}
	for actor, want := range map[string]string{
		"webhook:code": "github", "webhook:lab": "", "webhook:relay": "", "webhook:open": "", "webhook:none": "", "user:code": "", "service:webhook:code": "", "": "",
	} {
		got := sourceOf(p, &events.Event{Type: "com.github.push", Actor: actor, Data: json.RawMessage(`{"after":"0123456789abcdef","repository":{"full_name":"org/shop"}}`)})
		if got == nil || got.Host != want || got.Commit == "" {
			t.Errorf("what %q says is %+v", actor, got)
		}
	}
}
