package install

import (
	"os"
	"path/filepath"
	"strings"
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

func TestConfigurationFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cli.tfrc")
	text := `
plugin_cache_dir = "/cache"
provider_installation {
  dev_overrides {
    "example.com/me/thing" = "/home/me/thing"
  }
  filesystem_mirror {
    path    = "/mirror"
    include = ["example.com/*/*"]
  }
  direct {
    exclude = ["example.com/*/*"]
  }
}
credentials "app.example.com" {
  token = "secret"
}
host "example.com" {
  services = { "providers.v1" = "https://other.example.com/" }
}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, diags := LoadConfig([]string{"TF_CLI_CONFIG_FILE=" + file, "TF_TOKEN_a__b_example_com=t"})
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	if c.DevOverrides[provider(t, "example.com/me/thing")] != "/home/me/thing" || c.PluginCacheDir != "/cache" {
		t.Errorf("%+v", c)
	}
	if c.Tokens["app.example.com"] != "secret" || c.Tokens["a-b.example.com"] != "t" || c.Services["example.com"]["providers.v1"] == "" {
		t.Errorf("%+v", c)
	}
	ours, others := provider(t, "example.com/a/b"), provider(t, "hashicorp/null")
	if !c.Methods[0].Covers(ours) || c.Methods[0].Covers(others) || c.Methods[1].Covers(ours) || !c.Methods[1].Covers(others) {
		t.Errorf("methods cover the wrong providers: %+v", c.Methods)
	}
}
