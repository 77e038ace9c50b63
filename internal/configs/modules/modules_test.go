package modules

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// write makes files below a directory, by name and content.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// git runs the git program in a directory.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// repository makes a repository with a tag v1, a branch "side" and a later
// commit, and returns its directory.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	write(t, dir, map[string]string{
		"main.tf":           `output "revision" { value = "one" }`,
		"sub/main.tf":       "module \"inner\" {\n  source = \"./inner\"\n}\n",
		"sub/inner/main.tf": `output "x" { value = 1 }`,
	})
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "one")
	git(t, dir, "tag", "v1")
	git(t, dir, "checkout", "-qb", "side")
	write(t, dir, map[string]string{"main.tf": `output "revision" { value = "side" }`})
	git(t, dir, "commit", "-qam", "side")
	git(t, dir, "checkout", "-q", "main")
	write(t, dir, map[string]string{"main.tf": `output "revision" { value = "two" }`})
	git(t, dir, "commit", "-qam", "two")
	return dir
}

// place is a root module to install for.
type place struct {
	dir      string
	progress []string
	in       Installer
}

func newPlace(t *testing.T, main string) *place {
	t.Helper()
	p := &place{dir: t.TempDir()}
	p.in.Environ = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "HOME="+p.dir)
	p.write(t, main)
	return p
}

func (p *place) write(t *testing.T, main string) {
	t.Helper()
	write(t, p.dir, map[string]string{"main.tf": main})
}

func (p *place) install(t *testing.T, upgrade bool) diag.List {
	t.Helper()
	p.progress = nil
	return p.in.Install(context.Background(), p.dir, Options{
		Upgrade: upgrade, Progress: func(e Progress) { p.progress = append(p.progress, e.String()) },
	})
}

// ok installs and loads the configuration with what was installed.
func (p *place) ok(t *testing.T, upgrade bool) *configs.Config {
	t.Helper()
	if diags := p.install(t, upgrade); len(diags) > 0 {
		t.Fatalf("%+v", diags)
	}
	config, diags := p.load(t)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return config
}

func (p *place) load(t *testing.T) (*configs.Config, diag.List) {
	t.Helper()
	manifest, err := ReadManifest(filepath.Join(p.dir, ".terraform"))
	if err != nil {
		t.Fatal(err)
	}
	return configs.Load(p.dir, configs.LoadOptions{Resolve: manifest.Resolve(p.dir), TerraformVersion: "1.15.0"})
}

// fails installs and wants one error that says something.
func (p *place) fails(t *testing.T, want string) {
	t.Helper()
	diags := p.install(t, false)
	if err := diags.Err(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error that says %q", err, want)
	}
}

// revision reads what a module's output "revision" says.
func revision(t *testing.T, config *configs.Config, path addrs.Module) string {
	t.Helper()
	m := config.Modules[path]
	if m == nil {
		t.Fatalf("there is no module %s", path)
	}
	value, diags := m.Outputs["revision"].Expr.Value(nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return value.AsString()
}

func call(name, source string, more ...string) string {
	return "module \"" + name + "\" {\n  source = \"" + source + "\"\n" + strings.Join(more, "\n") + "\n}\n"
}

func TestGitSources(t *testing.T) {
	repo := repository(t)
	commit := git(t, repo, "rev-parse", "side")
	p := newPlace(t, call("head", "git::file://"+repo)+
		call("tag", "git::file://"+repo+"?ref=v1")+
		call("branch", "git::file://"+repo+"?ref=side")+
		call("commit", "git::file://"+repo+"?ref="+commit)+
		call("shallow", "git::file://"+repo+"?depth=1&ref=v1")+
		call("shallow_commit", "git::file://"+repo+"?depth=1&ref="+commit)+
		call("sub", "git::file://"+repo+"//sub?ref=v1"))
	config := p.ok(t, false)
	for path, want := range map[addrs.Module]string{
		"head": "two", "tag": "one", "branch": "side", "commit": "side", "shallow": "one", "shallow_commit": "side",
	} {
		if got := revision(t, config, path); got != want {
			t.Errorf("%s is at %s, want %s", path, got, want)
		}
	}
	if config.Modules["sub.inner"] == nil {
		t.Error("the module inside the package was not found")
	}
	if n := git(t, filepath.Join(p.dir, ".terraform/modules/shallow"), "rev-list", "--count", "HEAD"); n != "1" {
		t.Errorf("a clone of depth 1 has %s commits", n)
	}
	data, err := os.ReadFile(ManifestFile(filepath.Join(p.dir, ".terraform")))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"Modules":[{"Key":"","Source":"","Dir":"."},`,
		`{"Key":"sub","Source":"git::file://` + repo + `//sub?ref=v1","Dir":".terraform/modules/sub/sub"}`,
		`{"Key":"sub.inner","Source":"./inner","Dir":".terraform/modules/sub/sub/inner"}`,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the manifest lacks %s\n%s", want, data)
		}
	}
}

func TestInstalledModulesAreReusedUntilSourceChanges(t *testing.T) {
	repo := repository(t)
	p := newPlace(t, call("a", "git::file://"+repo))
	p.ok(t, false)
	write(t, repo, map[string]string{"main.tf": `output "revision" { value = "three" }`})
	git(t, repo, "commit", "-qam", "three")
	if got := revision(t, p.ok(t, false), "a"); got != "two" {
		t.Errorf("the installed module was not reused: %s", got)
	}
	if strings.Join(p.progress, "\n") != "a in .terraform/modules/a" {
		t.Errorf("progress is %q", p.progress)
	}
	if got := revision(t, p.ok(t, true), "a"); got != "three" {
		t.Errorf("an upgrade got %s", got)
	}
	p.write(t, call("a", "git::file://"+repo+"?ref=v1"))
	if _, diags := p.load(t); diags.Err() == nil || !strings.Contains(diags.Err().Error(), "Module source has changed") {
		t.Errorf("loading says %v", diags.Err())
	}
	if got := revision(t, p.ok(t, false), "a"); got != "one" {
		t.Errorf("after a change of source: %s", got)
	}
}

func TestFailedUpgradeKeepsWhatIsInstalled(t *testing.T) {
	repo := repository(t)
	p := newPlace(t, call("a", "git::file://"+repo))
	p.ok(t, false)
	if err := os.Rename(filepath.Join(repo, ".git"), filepath.Join(repo, "gone")); err != nil {
		t.Fatal(err)
	}
	if diags := p.install(t, true); !diags.HasErrors() {
		t.Fatal("no error")
	}
	if _, err := os.Stat(filepath.Join(p.dir, ".terraform/modules/a/main.tf")); err != nil {
		t.Error(err)
	}
	if config, diags := p.load(t); diags.HasErrors() || revision(t, config, "a") != "two" {
		t.Errorf("what was installed cannot be used any more: %v", diags.Err())
	}
	left, _ := filepath.Glob(filepath.Join(p.dir, ".terraform/modules/.fetch-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestGitProblemsAreSaid(t *testing.T) {
	repo := repository(t)
	p := newPlace(t, call("a", "git::file://"+repo+"?ref=missing"))
	p.fails(t, "git ended with exit code 1")
	p.write(t, call("a", "git::file://"+repo+"?ref=--upload-pack=touch"))
	p.fails(t, "is not the name of a commit, tag or branch")
	p.write(t, call("a", "git::file://"+repo+"//missing"))
	p.fails(t, `it has no directory "missing"`)
	p.write(t, call("a", "git::ext://sh"))
	p.fails(t, "cannot be got by")
	p.write(t, call("a", "git::http://me:hunter2@127.0.0.1:1/x.git?sshkey=aHVudGVyMw=="))
	diags := p.install(t, false)
	if err := diags.Err(); err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "aHVudGVyMw") {
		t.Errorf("got %v", err)
	}
	if text := strings.Join(p.progress, "\n"); strings.Contains(text, "hunter2") || strings.Contains(text, "aHVudGVyMw") || !strings.Contains(text, "redacted") {
		t.Errorf("progress is %q", text)
	}
}

func TestLocalModules(t *testing.T) {
	p := newPlace(t, call("a", "./a"))
	write(t, p.dir, map[string]string{"a/main.tf": call("b", "../b"), "b/main.tf": `output "revision" { value = "b" }`})
	if got := revision(t, p.ok(t, false), "a.b"); got != "b" {
		t.Error(got)
	}
	manifest, err := ReadManifest(filepath.Join(p.dir, ".terraform"))
	if err != nil || manifest["a.b"] != (Record{Source: "../b", Dir: "b"}) {
		t.Errorf("%+v %v", manifest, err)
	}
	write(t, p.dir, map[string]string{"b/main.tf": call("a", "../a")})
	p.fails(t, "Module calls itself")
	p.write(t, call("gone", "./gone"))
	p.fails(t, "does not exist")
	p.write(t, call("a", "./b", `  version = "1.0"`))
	p.fails(t, "only registries have versions")
}

func TestLocalModulesStayInTheirPackage(t *testing.T) {
	repo := t.TempDir()
	git(t, repo, "init", "-q")
	write(t, repo, map[string]string{"main.tf": "", "in/main.tf": call("up", "../"), "out/main.tf": call("up", "../../other")})
	git(t, repo, "add", "-A")
	git(t, repo, "commit", "-qm", "one")
	p := newPlace(t, call("in", "git::file://"+repo+"//in")+call("other", "git::file://"+repo+"//in"))
	p.ok(t, false)
	p.write(t, call("out", "git::file://"+repo+"//out")+call("other", "git::file://"+repo+"//in"))
	p.fails(t, "leads out of the package")
	p.fails(t, "leads out of the package") // also where the package is there already
}

func TestDirectoryOutsideIsLinked(t *testing.T) {
	other := t.TempDir()
	write(t, other, map[string]string{"m/main.tf": `output "revision" { value = "before" }`})
	p := newPlace(t, call("a", other+"//m"))
	if got := revision(t, p.ok(t, false), "a"); got != "before" {
		t.Error(got)
	}
	write(t, other, map[string]string{"m/main.tf": `output "revision" { value = "after" }`})
	config, diags := p.load(t)
	if diags.HasErrors() || revision(t, config, "a") != "after" {
		t.Error("a change in the directory does not count at once")
	}
}

func TestManifest(t *testing.T) {
	dir := t.TempDir()
	if m, err := ReadManifest(dir); err != nil || len(m) != 0 {
		t.Errorf("no manifest: %v %v", m, err)
	}
	write(t, dir, map[string]string{"modules/modules.json": "{"})
	if _, err := ReadManifest(dir); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged one: %v", err)
	}
	p := newPlace(t, call("a", "example/x/test", `  version = "~> 2.0"`))
	write(t, p.dir, map[string]string{
		".terraform/modules/modules.json": `{"Modules":[{"Key":"","Source":"","Dir":"."},{"Key":"a","Source":"registry.opentofu.org/example/x/test","Version":"1.0.0","Dir":".terraform/modules/a"}]}`,
	})
	if _, diags := p.load(t); diags.Err() == nil || !strings.Contains(diags.Err().Error(), "Module version requirements have changed") {
		t.Errorf("loading says %v", diags.Err())
	}
	p.write(t, call("b", "example/x/test"))
	if _, diags := p.load(t); diags.Err() == nil || !strings.Contains(diags.Err().Error(), "Module not installed") {
		t.Errorf("loading says %v", diags.Err())
	}
}
