package cisnippets

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// snippet is the first block of YAML that docs/ci.md has under a heading.
func snippet(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if ok {
		if _, rest, ok = strings.Cut(rest, "```yaml\n"); ok {
			rest, _, ok = strings.Cut(rest, "```")
		}
	}
	if !ok {
		t.Fatalf("docs/ci.md has no YAML under %s", heading)
	}
	return rest
}

// lint is what actionlint has against a workflow of GitHub Actions. It knows the
// syntax, the expressions, the events and permissions, and the inputs of well-known
// actions.
func lint(t *testing.T, text string) []*actionlint.Error {
	t.Helper()
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := linter.Lint("workflow.yml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestGitHubActions(t *testing.T) {
	text := snippet(t, "GitHub Actions")
	for _, problem := range lint(t, text) {
		t.Error(problem)
	}
	for _, change := range [][2]string{{"runs-on:", "runs_on:"}, {"id-token: write", "id-token: maybe"}, {"cancelled()", "canceled()"}, {"pull_request:", "pull-request:"}} {
		wrong := strings.Replace(text, change[0], change[1], 1)
		if wrong == text || len(lint(t, wrong)) == 0 {
			t.Errorf("with %s it passes, or it does not have %s", change[1], change[0])
		}
	}
}

func TestGitLabCI(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("testdata/gitlab-ci.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text string) error {
		t.Helper()
		doc := map[string]any{}
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		// Hidden jobs may be anything: what counts is what they are extended to.
		for _, job := range doc {
			if job, ok := job.(map[string]any); ok && job["extends"] != nil {
				for name, value := range doc[job["extends"].(string)].(map[string]any) {
					if job[name] == nil {
						job[name] = value
					}
				}
				delete(job, "extends")
			}
		}
		return schema.Validate(doc)
	}
	text := snippet(t, "GitLab CI")
	if err := valid(text); err != nil {
		t.Error(err)
	}
	for _, change := range [][2]string{{"id_tokens:", "id_token:"}, {"junit: policy.xml", "junits: policy.xml"}, {"aud: https://tutti.example.com", "audience: x"}, {"when: always", "when: whenever"}} {
		wrong := strings.Replace(text, change[0], change[1], 1)
		if wrong == text || valid(wrong) == nil {
			t.Errorf("with %s it passes, or it does not have %s", change[1], change[0])
		}
	}
}
