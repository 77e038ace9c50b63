package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
)

// home makes a home directory with these files.
func home(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil { //nolint:gosec // some are programs
			t.Fatal(err)
		}
	}
	return dir
}

func load(t *testing.T, environ ...string) *Config {
	t.Helper()
	c, diags := LoadConfig(append(environ, "XDG_DATA_DIRS=/nowhere"))
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	return c
}

const rcText1 = `
# The first version of the language.
plugin_cache_dir   = "$HOME/cache" // expanded
disable_checkpoint = true
provider_installation { /* all in a line */ filesystem_mirror { path = "/mirror", include = ["example.com/*/*"] } network_mirror { "url" = "https://m.example.com/p/" exclude = ["acme/thing"] } direct {} 
  dev_overrides { "Example.com/me/thing" = "C:\\me\t\"x\"" }
}
credentials "App.example.com" { token = "secret" }
credentials "bücher.example" { token = "books" }
host "example.com" { services { "providers.v1" = "https://other.example.com/" } }
host "plain.example" { services = { modules.v1 = "/m/" } }
credentials_helper "keeper" { args = ["--deep"] }
`

const rcJSON1 = `{
  "plugin_cache_dir": "$HOME/cache", "disable_checkpoint": true,
  "provider_installation": [{
    "filesystem_mirror": [{"path": "/mirror", "include": ["example.com/*/*"]}],
    "network_mirror": {"url": "https://m.example.com/p/", "exclude": ["acme/thing"]},
    "direct": {},
    "dev_overrides": {"example.com/me/thing": "C:\\me\t\"x\""}
  }],
  "credentials": {"app.example.com": {"token": "secret"}, "xn--bcher-kva.example": {"token": "books"}},
  "host": [{"example.com": {"services": {"providers.v1": "https://other.example.com/"}}}, {"plain.example": {"services": {"modules.v1": "/m/"}}}],
  "credentials_helper": {"keeper": {"args": ["--deep"]}}
}`

func TestConfigurationInBothForms(t *testing.T) {
	for name, text := range map[string]string{"rc": rcText1, "rc.json": rcJSON1} {
		dir := home(t, map[string]string{name: text})
		c := load(t, "HOME=/home/me", "TF_CLI_CONFIG_FILE="+filepath.Join(dir, name))
		if len(c.Methods) != 3 || c.Methods[0].Kind != FilesystemMirror || c.Methods[1].Location != "https://m.example.com/p/" || c.Methods[2].Kind != Direct {
			t.Fatalf("%s: %+v", name, c.Methods)
		}
		thing := provider(t, "acme/thing")
		if c.Methods[0].Covers(thing) || c.Methods[1].Covers(thing) || !c.Methods[2].Covers(thing) {
			t.Errorf("%s: the methods cover the wrong providers", name)
		}
		if c.PluginCacheDir != "/home/me/cache" || !c.DisableCheckpoint {
			t.Errorf("%s: %+v", name, c)
		}
		if got := c.DevOverrides[provider(t, "example.com/me/thing")]; got != "C:\\me\t\"x\"" {
			t.Errorf("%s: override %q", name, got)
		}
		for host, want := range map[string]string{"app.example.com": "secret", "app.example.com:443": "secret", "bücher.example": "books", "other.example": ""} {
			if got := c.Token(t.Context(), host); got != want {
				t.Errorf("%s: token of %s is %q", name, host, got)
			}
		}
		if c.Services["example.com"]["providers.v1"] == "" || c.Services["plain.example"]["modules.v1"] != "/m/" {
			t.Errorf("%s: %v", name, c.Services)
		}
	}
}

func TestConfigurationMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"provider_installation {":       "is not closed",
		"plugin_cache_dir = \"x":        "a string is not closed",
		"plugin_cache_dir = \"C:\\me\"": "a backslash is written as two",
		"plugin_cache_dir":              "an equals sign and a value",
		"= 1":                           "there must be a name here",
		"provider_installation { network_mirror {} }":                      "needs the argument \"url\"",
		"provider_installation { filesystem_mirror { url = \"x\" }":        "is not closed",
		"provider_installation { network_mirror { url = \"http://x/\" } }": "must begin with https://",
		"provider_installation { direct { exclude = [\"a/b/c/d\"] } }":     "is not a provider source with *",
		"provider_installation { dev_overrides { \"a/b/c/d\" = \"/x\" } }": "one to three parts",
		"provider_installation { direct {} }\nprovider_installation {}":    "must be one provider_installation block",
		"frobnicate = 1": "Unknown CLI configuration setting",
		"provider_installation { oci_mirror {} }":    "Unknown provider installation method",
		"credentials \"a b\" { token = \"secret\" }": "not a host name",
	} {
		file := filepath.Join(home(t, map[string]string{"rc": text}), "rc")
		_, diags := LoadConfig([]string{"TF_CLI_CONFIG_FILE=" + file})
		got := ""
		for _, d := range diags {
			got += d.Summary + ": " + d.Detail + "\n"
		}
		if !strings.Contains(got, want) || strings.Contains(got, "secret") {
			t.Errorf("%s\nwant %q in: %s", text, want, got)
		}
	}
	if _, diags := LoadConfig([]string{"TF_CLI_CONFIG_FILE=/nowhere/rc"}); len(diags) != 1 || diags.HasErrors() {
		t.Error("a missing file is a warning:", diags)
	}
}

func TestWhichFilesAreRead(t *testing.T) {
	const credentials = `{"credentials": {"a.example": {"token": "saved"}, "b.example": {"token": "saved"}}}`
	dir := home(t, map[string]string{
		".tuttirc": `credentials "a.example" { token = "ours" }`, ".terraformrc": `credentials "a.example" { token = "theirs" }`,
		".terraform.d/more.tfrc":             `credentials "c.example" { token = "more" }`,
		".terraform.d/credentials.tfrc.json": credentials, "special": `credentials "d.example" { token = "special" }`,
	})
	token := func(c *Config, host string) string { return c.Token(t.Context(), host) }
	c := load(t, "HOME="+dir, "TF_TOKEN_xn____b__example_com=x", "TF_TOKEN_e_example=env")
	if token(c, "a.example") != "ours" || token(c, "b.example") != "saved" || token(c, "c.example") != "more" || token(c, "e.example") != "env" {
		t.Errorf("%v", c.Tokens)
	}
	c = load(t, "HOME="+dir, "TF_CLI_CONFIG_FILE="+filepath.Join(dir, "special"), "TF_TOKEN_b_example=env")
	if token(c, "a.example") != "saved" || token(c, "b.example") != "env" || token(c, "c.example") != "" || token(c, "d.example") != "special" {
		t.Errorf("%v", c.Tokens)
	}
}

func TestImpliedMirrors(t *testing.T) {
	dir := home(t, map[string]string{
		".terraform.d/plugins/example.com/me/thing/1.0.0/" + Platform() + "/terraform-provider-thing": "",
		".local/share/terraform/plugins/registry.terraform.io/hashicorp/null/x":                       "",
	})
	t.Chdir(t.TempDir())
	c := load(t, "HOME="+dir)
	covered := func(p addrs.Provider) (out []MethodKind) {
		for _, m := range c.Methods {
			if m.Covers(p) {
				out = append(out, m.Kind)
			}
		}
		return out
	}
	for source, want := range map[string]MethodKind{"example.com/me/thing": FilesystemMirror, "hashicorp/null": FilesystemMirror, "hashicorp/time": Direct} {
		if got := covered(provider(t, source)); len(got) != 1 || got[0] != want {
			t.Errorf("%s is got by %v", source, got)
		}
	}
}

func TestSavedCredentials(t *testing.T) {
	dir := home(t, map[string]string{".terraform.d/credentials.tfrc.json": `{"credentials": {"a.example": {"token": "1"}}, "disable_checkpoint": true}`})
	c := load(t, "HOME="+dir)
	if err := c.StoreToken(t.Context(), dir, "B.example", "2"); err != nil {
		t.Fatal(err)
	}
	if had, err := c.ForgetToken(t.Context(), dir, "a.example"); !had || err != nil {
		t.Error(had, err)
	}
	if had, err := c.ForgetToken(t.Context(), dir, "a.example"); had || err != nil {
		t.Error(had, err)
	}
	data, _ := os.ReadFile(CredentialsFile(dir))
	if want := "{\n  \"credentials\": {\n    \"b.example\": {\n      \"token\": \"2\"\n    }\n  },\n  \"disable_checkpoint\": true\n}\n"; string(data) != want {
		t.Errorf("%s", data)
	}
	if info, err := os.Stat(CredentialsFile(dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("tokens are for their owner's eyes only", err)
	}
	if err := os.WriteFile(CredentialsFile(dir), []byte("secret, not JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.StoreToken(t.Context(), dir, "b.example", "2"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestCredentialsHelper(t *testing.T) {
	dir := home(t, map[string]string{
		".terraformrc": `credentials_helper "keeper" { args = ["--deep"] }`,
		".terraform.d/plugins/terraform-credentials-keeper": `#!/bin/sh
test "$1" = --deep || exit 3
case "$2" in
get) test -f "$HELPER_STORE/$3" && cat "$HELPER_STORE/$3" || echo '{}' ;;
store) cat > "$HELPER_STORE/$3" ;;
forget) rm "$HELPER_STORE/$3" || exit 1 ;;
esac
`,
	})
	t.Setenv("HELPER_STORE", t.TempDir())
	c := load(t, "HOME="+dir)
	if got := c.Token(t.Context(), "a.example"); got != "" {
		t.Error(got)
	}
	if err := c.StoreToken(t.Context(), dir, "a.example", "kept"); err != nil {
		t.Fatal(err)
	}
	if got := c.Token(t.Context(), "a.example"); got != "kept" {
		t.Error(got)
	}
	if _, err := c.ForgetToken(t.Context(), dir, "a.example"); err != nil {
		t.Error(err)
	}
	if _, err := c.ForgetToken(t.Context(), dir, "a.example"); err == nil {
		t.Error("a helper's failure must be told")
	}
	if exists(CredentialsFile(dir)) {
		t.Error("with a helper nothing is saved in the file")
	}
}
