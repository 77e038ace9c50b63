package project

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tutti-dev/tutti/internal/runs"
)

func TestSource(t *testing.T) {
	event := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(event, []byte(`{"pull_request":{"number":7,"head":{"sha":"aaa1111"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	push := filepath.Join(t.TempDir(), "push.json")
	if err := os.WriteFile(push, []byte(`{"after":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		environment map[string]string
		want        *runs.Source
	}{
		"nothing":             {nil, nil},
		"own":                 {map[string]string{"TUTTI_COMMIT": "ABC1234", "TUTTI_REPOSITORY": "org/shop", "TUTTI_PULL_REQUEST": "12", "GITLAB_CI": "true", "CI_COMMIT_SHA": "x"}, &runs.Source{Repository: "org/shop", Commit: "abc1234", PullRequest: 12}},
		"GitHub, request":     {map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "org/shop", "GITHUB_SHA": "bbb2222", "GITHUB_EVENT_PATH": event}, &runs.Source{Repository: "org/shop", Commit: "aaa1111", PullRequest: 7}},
		"GitHub, push":        {map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "org/shop", "GITHUB_SHA": "bbb2222", "GITHUB_EVENT_PATH": push}, &runs.Source{Repository: "org/shop", Commit: "bbb2222"}},
		"GitLab, request":     {map[string]string{"GITLAB_CI": "true", "CI_PROJECT_PATH": "org/sub/shop", "CI_COMMIT_SHA": "ccc3333", "CI_MERGE_REQUEST_IID": "4"}, &runs.Source{Repository: "org/sub/shop", Commit: "ccc3333", PullRequest: 4}},
		"GitLab, merged":      {map[string]string{"GITLAB_CI": "true", "CI_PROJECT_PATH": "org/shop", "CI_COMMIT_SHA": "ccc3333", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "ddd4444", "CI_MERGE_REQUEST_IID": "4"}, &runs.Source{Repository: "org/shop", Commit: "ddd4444", PullRequest: 4}},
		"CircleCI, request":   {map[string]string{"CIRCLECI": "true", "CIRCLE_PROJECT_USERNAME": "org", "CIRCLE_PROJECT_REPONAME": "shop", "CIRCLE_SHA1": "eee5555", "CIRCLE_PULL_REQUEST": "https://github.com/org/shop/pull/9"}, &runs.Source{Repository: "org/shop", Commit: "eee5555", PullRequest: 9}},
		"CircleCI, branch":    {map[string]string{"CIRCLECI": "true", "CIRCLE_PROJECT_USERNAME": "org", "CIRCLE_PROJECT_REPONAME": "shop", "CIRCLE_SHA1": "eee5555"}, &runs.Source{Repository: "org/shop", Commit: "eee5555"}},
		"number that is none": {map[string]string{"TUTTI_COMMIT": "abc1234", "TUTTI_PULL_REQUEST": "x"}, &runs.Source{Commit: "abc1234"}},
	} {
		got := sourceOf(func(name string) string { return c.environment[name] })
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
