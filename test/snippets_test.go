package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	yaml "github.com/zclconf/go-cty-yaml"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// snippet is what docs/ci.md has under a heading: the first block of a language.
func snippet(t *testing.T, heading, language string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if ok {
		if _, rest, ok = strings.Cut(rest, "```"+language+"\n"); ok {
			rest, _, ok = strings.Cut(rest, "```")
		}
	}
	if !ok {
		t.Fatalf("docs/ci.md has nothing in %s under %s", language, heading)
	}
	return rest
}

// decodeYAML reads YAML into a value as JSON is read.
func decodeYAML(t *testing.T, text string, into any) {
	t.Helper()
	ty, err := yaml.Standard.ImpliedType([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v, err := yaml.Standard.Unmarshal([]byte(text), ty)
	if err != nil {
		t.Fatal(err)
	}
	data, err := ctyjson.Marshal(v, ty)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// ciStep is a part of a job: what its shell is given, and whether it is done after one
// that failed.
type ciStep struct {
	script string
	always bool
}

// ciSystem is a system for continuous integration, as far as jobs in shells go.
type ciSystem struct {
	name        string
	shell       []string // the script follows
	plan, apply []ciStep
	environment map[string]string // what the jobs have besides what the system says
	// says is what the system says about a commit of a branch, and about the request
	// to merge of it.
	says, request map[string]string
	repository    string
	report        string // what the job of a request leaves
}

func githubActions(t *testing.T, dir string) ciSystem {
	type job struct {
		Steps []struct{ Run, If string }
	}
	var doc struct {
		Env  map[string]string
		Jobs struct{ Plan, Apply job }
	}
	decodeYAML(t, snippet(t, "GitHub Actions", "yaml"), &doc)
	steps := func(j job) (out []ciStep) {
		for _, s := range j.Steps {
			if s.Run != "" {
				out = append(out, ciStep{s.Run, s.If == "${{ !cancelled() }}"})
			}
		}
		return out
	}
	event := filepath.Join(dir, "event.json")
	if err := os.WriteFile(event, []byte(`{"action":"synchronize","number":7,"pull_request":{"number":7,"head":{"sha":"`+headCommit+`"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return ciSystem{
		name: "GitHub Actions", shell: []string{"bash", "-e", "-c"}, plan: steps(doc.Jobs.Plan), apply: steps(doc.Jobs.Apply), environment: doc.Env,
		says:       map[string]string{"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "org/shop", "GITHUB_SHA": headCommit, "GITHUB_REF": "refs/heads/main"},
		request:    map[string]string{"GITHUB_SHA": mergeCommit, "GITHUB_REF": "refs/pull/7/merge", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": event},
		repository: "org/shop", report: "policy.sarif",
	}
}

func gitlabCI(t *testing.T, _ string) ciSystem {
	var doc struct {
		Variables   map[string]string
		Plan, Apply struct{ Script []string }
	}
	decodeYAML(t, snippet(t, "GitLab CI", "yaml"), &doc)
	return ciSystem{
		name: "GitLab CI", shell: []string{"bash", "-eo", "pipefail", "-c"}, environment: doc.Variables,
		plan: []ciStep{{script: strings.Join(doc.Plan.Script, "\n")}}, apply: []ciStep{{script: strings.Join(doc.Apply.Script, "\n")}},
		says:       map[string]string{"CI": "true", "GITLAB_CI": "true", "CI_PROJECT_PATH": "org/sub/shop", "CI_COMMIT_SHA": headCommit, "CI_COMMIT_BRANCH": "main", "TUTTI_TOKEN": "TOKEN"},
		request:    map[string]string{"CI_COMMIT_SHA": mergeCommit, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": headCommit, "CI_MERGE_REQUEST_IID": "7", "CI_PIPELINE_SOURCE": "merge_request_event"},
		repository: "org/sub/shop", report: "policy.xml",
	}
}

func circleCI(t *testing.T, dir string) ciSystem {
	type job struct {
		Environment map[string]string
		Steps       []json.RawMessage
	}
	var doc struct{ Jobs struct{ Plan, Apply job } }
	decodeYAML(t, snippet(t, "CircleCI", "yaml"), &doc)
	steps := func(j job) (out []ciStep) {
		for _, raw := range j.Steps {
			var s struct{ Run string }
			if json.Unmarshal(raw, &s) == nil && s.Run != "" {
				out = append(out, ciStep{script: s.Run})
			}
		}
		return out
	}
	return ciSystem{
		name: "CircleCI", shell: []string{"bash", "-eo", "pipefail", "-c"}, plan: steps(doc.Jobs.Plan), apply: steps(doc.Jobs.Apply), environment: doc.Jobs.Plan.Environment,
		says: map[string]string{"CI": "true", "CIRCLECI": "true", "CIRCLE_PROJECT_USERNAME": "org", "CIRCLE_PROJECT_REPONAME": "shop", "CIRCLE_SHA1": headCommit, "CIRCLE_BRANCH": "main",
			"CIRCLE_OIDC_TOKEN": "TOKEN", "BASH_ENV": filepath.Join(dir, "bash_env")},
		request:    map[string]string{"CIRCLE_PULL_REQUEST": "https://github.com/org/shop/pull/7"},
		repository: "org/shop", report: "results/policy.xml",
	}
}

func jenkins(t *testing.T, _ string) ciSystem {
	text := snippet(t, "Jenkins", "groovy")
	s := ciSystem{
		name: "Jenkins", shell: []string{"sh", "-xe", "-c"}, environment: map[string]string{},
		says:    map[string]string{"CI": "true", "JENKINS_URL": "https://jenkins.example.com/", "GIT_COMMIT": headCommit, "BRANCH_NAME": "main", "TUTTI_TOKEN": "TOKEN"},
		request: map[string]string{"CHANGE_ID": "7", "BRANCH_NAME": "PR-7"}, repository: "org/shop", report: "policy.xml",
	}
	for _, m := range regexp.MustCompile(`(\w+)\s*= '([^']*)'`).FindAllStringSubmatch(text, -1) {
		s.environment[m[1]] = m[2]
	}
	plan, apply, _ := strings.Cut(text, "stage('Apply')")
	command := regexp.MustCompile(`sh[ (](?:script: )?'([^']*)'(, returnStatus: true)?`)
	for _, m := range command.FindAllStringSubmatch(plan, -1) {
		if m[2] != "" { // what the script around it makes of the exit code
			m[1] = "code=0; " + m[1] + " || code=$?; test $code -eq 0 -o $code -eq 2"
		}
		s.plan = append(s.plan, ciStep{script: m[1]})
	}
	for _, m := range command.FindAllStringSubmatch(apply, -1) {
		s.apply = append(s.apply, ciStep{script: m[1]})
	}
	return s
}

const (
	headCommit  = "0123456789abcdef0123456789abcdef01234567"
	mergeCommit = "fedcba9876543210fedcba9876543210fedcba98"
)

const snippetsProject = `
environment "prod" {}
stack "site" { source = "./site" }
policy "names" { source = "./rules" }
secret "host" {
  environment { variable = "HOST_TOKEN" }
}
notify "code" {
  allow_private = ["127.0.0.0/8"]
  github {
    api        = "ADDRESS/code"
    token      = secret.host
    repository = "REPOSITORY"
  }
}
workflow "release" {
  variable "commit" { type = string }
  step "say" {
    exec { command = ["sh", "-c", "echo releasing ${var.commit}; ! test -e broken"] }
  }
}
role "ci" { allow = ["plan:prod/*", "run:prod/release", "apply:prod/*"] }
grant {
  role = role.ci
  to   = ["service:ci"]
}
role "all" { allow = ["*:*"] }
grant {
  role = role.all
  to   = ["user:USER"]
}
`

// TestSnippetsOfCI runs the shell parts of what docs/ci.md has for CI systems, with what
// each of them says in the environment, against a server, and looks at how jobs end,
// what they leave, and what the host of code is told.
func TestSnippetsOfCI(t *testing.T) {
	for _, make := range []func(*testing.T, string) ciSystem{githubActions, gitlabCI, circleCI, jenkins} {
		dir := t.TempDir()
		ci := make(t, dir)
		t.Run(ci.name, func(t *testing.T) {
			sink := newSink(t)
			p := newServed(t)
			p.env = append(p.env, "HOST_TOKEN=token-of-the-host", "TF_WORKSPACE=prod")
			p.write("project.tutti.hcl", strings.NewReplacer("ADDRESS", sink.URL, "USER", p.whoami(), "REPOSITORY", ci.repository).Replace(snippetsProject))
			p.write("rules/names.rego", "package main\ndeny contains \"no curses\" if input.resource_changes[_].change.after.input.text == \"curse\"\n")
			s := p.server("-require-token", "-speculative-plans")
			token := p.lastLine(p.mustRun("token", "create", "-as=service:ci", "-role=ci"))
			if len(ci.plan) == 0 || len(ci.apply) == 0 {
				t.Fatalf("no jobs: %+v", ci)
			}

			// What happens before a block is known is not told.
			eventually(t, "the notify block is at work", func() bool {
				cmd := p.command("run", "release", "-var", "commit=x")
				cmd.Env = append(slices.Clone(p.env), "TUTTI_COMMIT="+mergeCommit)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				sink.mu.Lock()
				defer sink.mu.Unlock()
				return len(sink.requests) > 0
			})

			// The tokens that GitHub gives to jobs.
			issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "bearer of-the-job" || r.FormValue("audience") != "https://tutti.example.com" {
					w.WriteHeader(http.StatusForbidden)
				}
				fmt.Fprintf(w, `{"value":%q}`, token)
			}))
			defer issuer.Close()
			checkout := s.client()
			checkout.write("project.tutti.hcl", "environment \"prod\" {}\nstack \"site\" { source = \"./site\" }\n")
			site := func(text string) { checkout.write("site/main.tf", strings.Replace(servedSite, "welcome", text, 1)) }
			carryOut := func(steps []ciStep, request bool) (out string, ok bool) {
				set := map[string]string{
					"PATH": filepath.Dir(binary(t)) + ":" + os.Getenv("PATH"), "HOME": checkout.dir, "TF_CLI_CONFIG_FILE": os.DevNull,
					"ACTIONS_ID_TOKEN_REQUEST_URL": issuer.URL + "/?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
				}
				given := []map[string]string{ci.environment, ci.says}
				if request {
					given = append(given, ci.request)
				}
				for _, from := range given {
					for name, value := range from {
						set[name] = strings.ReplaceAll(strings.ReplaceAll(value, "https://tutti.example.com", s.url), "TOKEN", token)
					}
				}
				exports := filepath.Join(dir, "github_env")
				set["GITHUB_ENV"] = exports
				for _, file := range []string{exports, set["BASH_ENV"]} {
					if file != "" && os.WriteFile(file, nil, 0o600) != nil {
						t.Fatal("no file for variables")
					}
				}
				ok = true
				for _, step := range steps {
					if !ok && !step.always {
						continue
					}
					cmd := exec.Command(ci.shell[0], append(slices.Clone(ci.shell[1:]), step.script)...)
					cmd.Dir = checkout.dir
					for name, value := range set {
						cmd.Env = append(cmd.Env, name+"="+value)
					}
					said, err := cmd.CombinedOutput()
					out += string(said)
					ok = ok && err == nil
					exported, _ := os.ReadFile(exports)
					for _, line := range strings.Split(string(exported), "\n") {
						if name, value, found := strings.Cut(line, "="); found {
							set[name] = value
						}
					}
				}
				if strings.Contains(strings.ReplaceAll(out, "::add-mask::"+token, ""), token) {
					t.Errorf("the token is told:\n%s", out)
				}
				return out, ok
			}
			told := func(what, path string, parts ...string) {
				t.Helper()
				eventually(t, what, func() bool {
					sink.mu.Lock()
					defer sink.mu.Unlock()
					for i, request := range sink.requests {
						if request == path && !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(sink.bodies[i], part) }) {
							return true
						}
					}
					return false
				})
			}
			repository := "/code/repos/" + ci.repository

			site("hello")
			if out, ok := carryOut(ci.plan, true); !ok || !strings.Contains(out, "1 to add") {
				t.Fatalf("a plan with changes fails:\n%s", out)
			}
			told("the status of the commit", "POST "+repository+"/statuses/"+headCommit, `"state":"success"`, "1 to add, 0 to change")
			told("the comment", "POST "+repository+"/issues/7/comments", "| create | `terraform_data.page` |")
			site("curse")
			out, ok := carryOut(ci.plan, true)
			if ok || !strings.Contains(out, "no curses") {
				t.Errorf("what policy is against passes:\n%s", out)
			}
			told("the status that says no", "POST "+repository+"/statuses/"+headCommit, `"state":"failure"`, "policy: 1 denied")
			if report, err := os.ReadFile(filepath.Join(checkout.dir, ci.report)); err != nil || !strings.Contains(string(report), "no curses") {
				t.Errorf("the report: %v\n%s", err, report)
			}
			site("broken\" \"")
			if out, ok := carryOut(ci.plan, true); ok {
				t.Errorf("files that are wrong pass:\n%s", out)
			}

			if out, ok := carryOut(ci.apply, false); !ok {
				t.Errorf("the job after a merge fails:\n%s", out)
			}
			told("the status of what was merged", "POST "+repository+"/statuses/"+headCommit, `"state":"success"`, "tutti/prod/")
			if strings.Contains(ci.apply[len(ci.apply)-1].script, "run release") {
				p.write("broken", "")
				if out, ok := carryOut(ci.apply, false); ok {
					t.Errorf("a release that fails passes:\n%s", out)
				}
				p.mustRun("apply", "-auto-approve")
			}
			// Nothing is left to change: the job passes, and says so.
			site("welcome")
			if out, ok := carryOut(ci.plan, true); !ok || !strings.Contains(out, "No changes") {
				t.Errorf("a plan without changes fails:\n%s", out)
			}
		})
	}
}

// TestExitCodesOfCI are those that docs/ci.md has a table of.
func TestExitCodesOfCI(t *testing.T) {
	p := newServed(t)
	p.write("policy.tutti.hcl", "policy \"names\" { source = \"./rules\" }\n")
	p.write("rules/names.rego", "package main\ndeny contains \"no curses\" if input.resource_changes[_].change.after.input.text == \"curse\"\n")
	p.write("release.tutti.hcl", "workflow \"release\" {\n  step \"say\" {\n    exec { command = [\"sh\", \"-c\", \"! test -e broken\"] }\n  }\n}\n")
	c := p.server().client()
	want := func(code int, by *project, args ...string) {
		t.Helper()
		if out, got := by.run(args...); got != code {
			t.Errorf("tutti %s: %d and not %d\n%s", strings.Join(args, " "), got, code, out)
		}
	}
	want(0, c, "plan")
	want(2, c, "plan", "-detailed-exitcode")
	want(0, c, "policy", "check")
	want(0, c, "apply", "-auto-approve")
	want(0, c, "plan", "-detailed-exitcode")
	want(0, c, "run", "release")
	p.write("broken", "")
	want(1, c, "run", "release")
	p.write("site/main.tf", strings.Replace(servedSite, "welcome", "curse", 1))
	want(1, c, "plan", "-detailed-exitcode")
	want(1, c, "policy", "check")
	want(1, c, "apply", "-auto-approve")
	p.write("site/main.tf", "output \"x\" {\nvalue=1 \n}\n")
	want(3, p, "fmt", "-check", "-recursive")
	p.mustRun("fmt", "-recursive")
	want(0, p, "fmt", "-check", "-recursive")
	want(0, c, "destroy", "-auto-approve")
	p.write("site/main.tf", "output \"x\" { value = nothing.here }\n")
	want(1, p, "validate")
	want(1, c, "plan", "-detailed-exitcode")
}
