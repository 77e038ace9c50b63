package install

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
)

func provider(t *testing.T, source string) addrs.Provider {
	t.Helper()
	p, err := addrs.ParseProvider(source)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// mirror makes an unpacked mirror with these "SOURCE VERSION" packages.
func mirror(t *testing.T, packages ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, text := range packages {
		source, version, _ := strings.Cut(text, " ")
		p := provider(t, source)
		folder := filepath.Join(dir, p.Hostname, p.Namespace, p.Type, version, Platform())
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(folder, "terraform-provider-"+p.Type+"_v"+version)
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	return dir
}

type place struct {
	*Installer
	opts Options
	told []string
}

func newPlace(t *testing.T, mirror string) *place {
	dir := t.TempDir()
	p := &place{Installer: &Installer{Config: &Config{Methods: []Method{{Kind: FilesystemMirror, Location: mirror}}}}}
	p.opts = Options{DataDir: filepath.Join(dir, ".terraform"), LockFile: filepath.Join(dir, ".terraform.lock.hcl"), Progress: func(e Event) { p.told = append(p.told, e.String()) }}
	return p
}

func (p *place) install(t *testing.T, source string, constraints ...string) string {
	t.Helper()
	p.told = nil
	diags := p.Install(t.Context(), []Request{{Provider: provider(t, source), Constraints: constraints}}, p.opts)
	if diags.HasErrors() {
		return diags.Err().Error()
	}
	return strings.Join(p.told, "\n")
}

func TestInstallFromMirror(t *testing.T) {
	p := newPlace(t, mirror(t, "hashicorp/null 3.1.0", "hashicorp/null 3.2.0", "hashicorp/null 4.0.0-beta1"))
	if got := p.install(t, "hashicorp/null", "~> 3.0, < 3.2.0"); !strings.Contains(got, "Installed hashicorp/null v3.1.0 (unauthenticated)") {
		t.Error(got)
	}
	if got := p.install(t, "hashicorp/null", "~> 3.0"); !strings.Contains(got, "Using previously-installed hashicorp/null v3.1.0") {
		t.Error("the lock file must hold the version:", got)
	}
	found, diags := p.Find(provider(t, "registry.opentofu.org/hashicorp/null"), p.opts)
	if diags.HasErrors() || found.Version != "3.1.0" || found.Digest == "" {
		t.Errorf("found under the other public host: %+v, %v", found, diags)
	}
	if got := p.install(t, "hashicorp/null", ">= 3.2"); !strings.Contains(got, "init -upgrade") {
		t.Error(got)
	}
	p.opts.Upgrade = true
	if got := p.install(t, "hashicorp/null", ">= 3.0"); !strings.Contains(got, "Installed hashicorp/null v3.2.0 (unauthenticated)") {
		t.Error(got)
	}
	locks, _ := ReadLockFile(p.opts.LockFile)
	want := lockHeader + "\nprovider \"registry.terraform.io/hashicorp/null\" {\n  version     = \"3.2.0\"\n  constraints = \">= 3.0.0\"\n  hashes = [\n    \"" +
		locks.Providers()[0].Hashes[0] + "\",\n  ]\n}\n"
	if got, _ := os.ReadFile(p.opts.LockFile); string(got) != want {
		t.Errorf("lock file is\n%s\nwant\n%s", got, want)
	}
}

func TestChangedPackagesAreRefused(t *testing.T) {
	dir := mirror(t, "hashicorp/null 3.1.0")
	p := newPlace(t, dir)
	p.install(t, "hashicorp/null")
	name := filepath.Join(dir, "registry.terraform.io", "hashicorp", "null", "3.1.0", Platform(), "terraform-provider-null_v3.1.0")
	if err := os.WriteFile(name, []byte("something else"), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if got := p.install(t, "hashicorp/null"); !strings.Contains(got, "doesn't match any of the checksums") {
		t.Error(got)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	p := newPlace(t, mirror(t, "hashicorp/null 3.1.0"))
	for source, want := range map[string]string{
		"hashicorp/nul":  "was not found in any of the search locations",
		"hashicorp/null": "no available releases match the given constraints > 9.0",
	} {
		if got := p.install(t, source, "> 9.0"); !strings.Contains(got, want) {
			t.Errorf("%s: %s", source, got)
		}
	}
	if _, diags := p.Find(provider(t, "hashicorp/null"), p.opts); !diags.HasErrors() || !strings.Contains(diags.Err().Error(), "tutti init") {
		t.Error(diags)
	}
	p.opts.Readonly = true
	if got := p.install(t, "hashicorp/null"); !strings.Contains(got, "-lockfile=readonly") {
		t.Error(got)
	}
}

func TestConstraintsInLockFileForm(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "1": "1.0.0", "= 1.2": "1.2.0", ">=4.9": ">= 4.9.0", "~> 1": "~> 1.0", "~>1.2.3": "~> 1.2.3", ">= 1.0, >=1.0.0": ">= 1.0.0",
		"<= 1.0.0,>=1,~>1.0,~>1.0.0,1.0.0,!=0.9,>0.9,>=0.9,<2, != 1.0.1, <=2, >=1.0": "> 0.9.0, >= 0.9.0, != 0.9.0, >= 1.0.0, 1.0.0, ~> 1.0.0, ~> 1.0, <= 1.0.0, != 1.0.1, <= 2.0.0, < 2.0.0",
		"<1.0.0,<=1.0.0,~>1.0.0,~>1.0,!=1.0.0,=1.0.0,>=1.0.0,>1.0.0,~>1":             "> 1.0.0, >= 1.0.0, 1.0.0, ~> 1.0.0, ~> 1.0, <= 1.0.0, < 1.0.0, != 1.0.0",
		">=1.0.0-beta1,>=1.0.0-alpha,>=1.0.0,9":                                      ">= 1.0.0-alpha, >= 1.0.0-beta1, >= 1.0.0, 9.0.0",
	} {
		cs, err := parseConstraints([]string{text})
		if err != nil || cs.String() != want {
			t.Errorf("%q is %q, want %q (%v)", text, cs, want, err)
		}
	}
	for _, text := range []string{"latest", ">> 1", "v1.0", "~>", "1.x"} {
		if cs, err := parseConstraints([]string{text}); err == nil {
			t.Errorf("%q is read as %q", text, cs)
		}
	}
}

func TestWhichVersionsAreAllowed(t *testing.T) {
	for _, c := range []struct{ constraints, yes, no string }{
		{"", "0.0.1 9.9.9", "1.0.0-beta1"},
		{"~> 1.2", "1.2.0 1.9.0", "2.0.0 1.1.9 1.3.0-beta1"},
		{"~> 1.2.3", "1.2.3 1.2.9", "1.3.0"},
		{"1.0.0-beta1", "1.0.0-beta1", "1.0.0 1.0.0-beta2"},
		{">= 1.0.0-beta1", "1.0.0", "1.0.0-beta2"},
		{"> 1, != 1.5.0, < 2", "1.4.0", "1.0.0 1.5.0 2.0.0"},
	} {
		cs, err := parseConstraints([]string{c.constraints})
		if err != nil {
			t.Fatal(err)
		}
		check := func(list string, want bool) {
			for _, text := range strings.Fields(list) {
				if v, ok := newAvailable(text, ""); !ok || cs.allow(v.version) != want {
					t.Errorf("%q allows %s: %v", c.constraints, text, !want)
				}
			}
		}
		check(c.yes, true)
		check(c.no, false)
	}
}

const golden = `# This file is maintained automatically by "tutti init".
# Manual edits may be lost in future updates.

provider "example.com/acme/thing" {
  version = "1.0.0-beta1"
}

provider "registry.opentofu.org/hashicorp/null" {
  version     = "3.2.0"
  constraints = "~> 3.0"
  hashes = [
    "h1:b",
    "zh:a",
  ]
}
`

func TestLockFileForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock.hcl")
	locks, _ := ReadLockFile(path)
	locks.Set(&Lock{Provider: provider(t, "registry.opentofu.org/hashicorp/null"), Version: "3.2.0", Constraints: "~> 3.0", Hashes: []string{"zh:a", "h1:b", "zh:a"}})
	locks.Set(&Lock{Provider: provider(t, "example.com/acme/thing"), Version: "1.0.0-beta1"})
	if changed, err := locks.Write(path); !changed || err != nil {
		t.Fatal(changed, err)
	}
	if data, _ := os.ReadFile(path); string(data) != golden {
		t.Errorf("%s", data)
	}
	again, diags := ReadLockFile(path)
	if len(diags) > 0 || string(again.Encode()) != golden {
		t.Error(diags)
	}
	if changed, err := again.Write(path); changed || err != nil {
		t.Error("the same content needs no writing", changed, err)
	}
	if lock := again.Lock(provider(t, "hashicorp/null")); lock == nil || lock.Version != "3.2.0" {
		t.Error("the two public hosts name the same provider")
	}
	for text, want := range map[string]string{
		golden + golden:                        "Duplicate provider lock",
		`provider "a/b" {}`:                    "Invalid provider lock",
		`provider "a/b/c/d" { version = "1" }`: "Invalid provider source",
		"<<<<<<< HEAD\n":                       "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, diags := ReadLockFile(path); !diags.HasErrors() || !strings.Contains(diags.Err().Error(), want) {
			t.Errorf("%s: %v", text, diags)
		}
	}
}

func TestReadonlyLockFile(t *testing.T) {
	p := newPlace(t, mirror(t, "hashicorp/null 3.1.0", "hashicorp/null 3.2.0"))
	p.install(t, "hashicorp/null", "3.1.0")
	before, _ := os.ReadFile(p.opts.LockFile)
	p.opts.Readonly = true
	if got := p.install(t, "hashicorp/null", "3.1.0"); !strings.Contains(got, "Using previously-installed") {
		t.Error(got)
	}
	diags := p.Install(t.Context(), []Request{{Provider: provider(t, "hashicorp/null"), Constraints: []string{"< 3.2.0"}}}, p.opts)
	if len(diags) != 1 || diags.HasErrors() || diags[0].Summary != "Provider lock file not updated" {
		t.Error("other constraints alone are a warning:", diags)
	}
	p.opts.Upgrade = true
	if got := p.install(t, "hashicorp/null", "> 3.0"); !strings.Contains(got, "Provider dependency changes detected") {
		t.Error(got)
	}
	if after, _ := os.ReadFile(p.opts.LockFile); string(after) != string(before) {
		t.Errorf("%s", after)
	}
}

func TestLocksThatAreNotNeededGo(t *testing.T) {
	p := newPlace(t, mirror(t, "hashicorp/null 3.1.0", "hashicorp/time 1.0.0"))
	p.install(t, "hashicorp/time")
	p.install(t, "hashicorp/null")
	if data, _ := os.ReadFile(p.opts.LockFile); strings.Contains(string(data), "time") || !strings.Contains(string(data), "null") {
		t.Errorf("%s", data)
	}
	diags := p.Install(t.Context(), []Request{{Provider: addrs.BuiltInProvider("terraform")}, {Provider: provider(t, "hashicorp/null")}}, p.opts)
	if len(diags) > 0 {
		t.Error("what is built in needs no installation:", diags)
	}
}

func TestLockDecidesWhoseBuildsAreUsed(t *testing.T) {
	p := newPlace(t, mirror(t, "hashicorp/null 3.1.0"))
	p.install(t, "registry.opentofu.org/hashicorp/null")
	if got := p.install(t, "hashicorp/null"); !strings.Contains(got, "Using previously-installed registry.opentofu.org/hashicorp/null v3.1.0") {
		t.Error(got)
	}
	locks, _ := ReadLockFile(p.opts.LockFile)
	if all := locks.Providers(); len(all) != 1 || all[0].Provider.Hostname != addrs.OpenTofuRegistryHost {
		t.Errorf("%+v", all)
	}
	if _, diags := p.Find(provider(t, "hashicorp/null"), p.opts); len(diags) > 0 {
		t.Error(diags)
	}
}

func TestFindChecksWhatItFinds(t *testing.T) {
	dir := mirror(t, "hashicorp/null 3.1.0")
	p := newPlace(t, dir)
	null := provider(t, "hashicorp/null")
	find := func() (Installed, string) {
		found, diags := p.Find(null, p.opts)
		if diags.HasErrors() {
			return found, diags.Err().Error()
		}
		return found, ""
	}
	if _, problem := find(); !strings.Contains(problem, "Inconsistent dependency lock file") {
		t.Error(problem)
	}
	p.install(t, "hashicorp/null")
	first, problem := find()
	if problem != "" {
		t.Fatal(problem)
	}
	// What another program installed is read once, then known.
	stamps := filepath.Join(p.opts.DataDir, stampsFile)
	if err := os.Remove(stamps); err != nil {
		t.Fatal(err)
	}
	if again, problem := find(); problem != "" || again != first || !exists(stamps) {
		t.Error(again, problem)
	}
	var group sync.WaitGroup
	_ = os.Remove(stamps)
	for range 8 {
		group.Go(func() {
			if again, problem := find(); problem != "" || again != first {
				t.Error(again, problem)
			}
		})
	}
	group.Wait()
	program := filepath.Join(dir, "registry.terraform.io", "hashicorp", "null", "3.1.0", Platform(), "terraform-provider-null_v3.1.0")
	if err := os.WriteFile(program, []byte("changed"), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if _, problem := find(); !strings.Contains(problem, "does not match any of the checksums") || !strings.Contains(problem, "tutti init") {
		t.Error(problem)
	}
	if err := os.RemoveAll(filepath.Join(p.opts.DataDir, "providers")); err != nil {
		t.Fatal(err)
	}
	if _, problem := find(); !strings.Contains(problem, "Required plugins are not installed") {
		t.Error(problem)
	}
	p.Config.DevOverrides = map[addrs.Provider]string{null: filepath.Dir(program)}
	if found, problem := find(); problem != "" || !found.Development || found.Executable != program {
		t.Error(found, problem)
	}
	if got := p.install(t, "hashicorp/null"); !strings.Contains(got, "as dev_overrides says") {
		t.Error(got)
	}
	if warning := p.Config.OverrideWarning(); len(warning) != 1 || !strings.Contains(warning[0].Detail, "hashicorp/null in ") {
		t.Error(warning)
	}
	p.Config.DevOverrides[null] = t.TempDir()
	if _, problem := find(); !strings.Contains(problem, "Cannot use provider under development") {
		t.Error(problem)
	}
}

// What somebody else runs is not looked for, and its lock stays for the day when
// nobody runs it.
func TestInstallAttached(t *testing.T) {
	p := newPlace(t, mirror(t, "hashicorp/null 3.1.0"))
	p.install(t, "hashicorp/null")
	before, err := os.ReadFile(p.opts.LockFile)
	if err != nil {
		t.Fatal(err)
	}
	p.opts.Attached = map[addrs.Provider]bool{provider(t, "hashicorp/null"): true, provider(t, "hashicorp/absent"): true}
	p.opts.Upgrade = true
	if got := p.install(t, "registry.opentofu.org/hashicorp/null", "> 99"); !strings.HasSuffix(got, "hashicorp/null from a running process, as TF_REATTACH_PROVIDERS says") {
		t.Error(got)
	}
	if after, err := os.ReadFile(p.opts.LockFile); err != nil || string(after) != string(before) {
		t.Errorf("the lock file changed (%v):\n%s", err, after)
	}
	if got := p.install(t, "hashicorp/absent"); !strings.Contains(got, "from a running process") {
		t.Error(got)
	}
}

func TestDangerousPackages(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.zip")
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if _, err := w.Create("../outside"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "inner", "package")
	if err := unpackInto(file, dir); err == nil || exists(dir) || exists(filepath.Join(filepath.Dir(dir), "outside")) {
		t.Error(err)
	}
}
