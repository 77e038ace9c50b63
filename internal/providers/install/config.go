// Package install finds providers and brings them onto this machine: from
// mirrors on disk or in the network, from registries, or from where a developer
// builds them. What was chosen is written to the dependency lock file, and what
// is used is checked against it.
package install

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
)

// Config is the user's configuration of the command line: the CLI configuration
// file of Terraform and its environment variables.
type Config struct {
	// Methods are the ways to get providers, in the order they are written;
	// Explicit says that the user wrote them.
	Methods  []Method
	Explicit bool
	// DevOverrides are the folders of providers being developed.
	DevOverrides map[addrs.Provider]string
	// PluginCacheDir is where downloaded packages are kept for all projects.
	PluginCacheDir string
	// PluginCacheMayBreakLock lets packages in the cache be used that the lock
	// file does not know.
	PluginCacheMayBreakLock bool
	// Tokens are credentials by host, from files and environment.
	Tokens map[string]string
	// Services override what hosts say about themselves.
	Services map[string]map[string]string
}

// MethodKind is a way to get providers.
type MethodKind string

// The ways to get providers.
const (
	FilesystemMirror MethodKind = "filesystem_mirror"
	NetworkMirror    MethodKind = "network_mirror"
	Direct           MethodKind = "direct"
)

// Method is one way to get providers, for those it includes.
type Method struct {
	Kind     MethodKind
	Location string // folder or URL; empty for Direct
	Include  []string
	Exclude  []string
}

// Covers reports whether a provider may be got this way.
func (m Method) Covers(p addrs.Provider) bool {
	for _, pattern := range m.Exclude {
		if matches(pattern, p) {
			return false
		}
	}
	if len(m.Include) == 0 {
		return true
	}
	for _, pattern := range m.Include {
		if matches(pattern, p) {
			return true
		}
	}
	return false
}

// matches compares a provider with a pattern such as "example.com/*/*".
func matches(pattern string, p addrs.Provider) bool {
	parts := strings.Split(pattern, "/")
	switch len(parts) {
	case 1:
		parts = []string{addrs.DefaultRegistryHost, "hashicorp", parts[0]}
	case 2:
		parts = append([]string{addrs.DefaultRegistryHost}, parts...)
	}
	if len(parts) != 3 {
		return false
	}
	host := parts[0] == "*" || parts[0] == p.Hostname || parts[0] == p.Canonical().Hostname
	return host && (parts[1] == "*" || parts[1] == p.Namespace) && (parts[2] == "*" || parts[2] == p.Type)
}

// LoadConfig reads the CLI configuration: the file that TF_CLI_CONFIG_FILE
// names, or those in the user's home, credentials, and environment variables.
func LoadConfig(environ []string) (*Config, diag.List) {
	env := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	c := &Config{DevOverrides: map[addrs.Provider]string{}, Tokens: map[string]string{}, Services: map[string]map[string]string{}}
	var diags diag.List
	for _, file := range configFiles(env) {
		diags = append(diags, c.read(file.name, file.required)...)
	}
	if dir := env["TF_PLUGIN_CACHE_DIR"]; dir != "" {
		c.PluginCacheDir = dir
	}
	for name, token := range env {
		if host, ok := strings.CutPrefix(name, "TF_TOKEN_"); ok && token != "" {
			host = strings.ReplaceAll(host, "__", "-")
			c.Tokens[strings.ReplaceAll(host, "_", ".")] = token
		}
	}
	if !c.Explicit {
		c.Methods = impliedMethods(env)
	}
	return c, diags
}

type configFile struct {
	name     string
	required bool
}

// configFiles lists the files to read, the most important last.
func configFiles(env map[string]string) []configFile {
	var out []configFile
	home := env["HOME"]
	if home != "" {
		folder := filepath.Join(home, ".terraform.d")
		out = append(out, configFile{name: filepath.Join(folder, "credentials.tfrc.json")})
		names, _ := filepath.Glob(filepath.Join(folder, "*.tfrc"))
		sort.Strings(names)
		for _, name := range names {
			out = append(out, configFile{name: name})
		}
	}
	for _, name := range []string{"TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG"} {
		if file := env[name]; file != "" {
			return append(out, configFile{name: file, required: true})
		}
	}
	if home != "" {
		for _, name := range []string{".tuttirc", ".terraformrc"} {
			if path := filepath.Join(home, name); exists(path) {
				return append(out, configFile{name: path})
			}
		}
	}
	return out
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// impliedMethods are those that hold where the user says nothing: folders where
// people put providers by hand, then the registries.
func impliedMethods(env map[string]string) []Method {
	folders := []string{filepath.Join("terraform.d", "plugins")}
	if home := env["HOME"]; home != "" {
		folders = append(folders, filepath.Join(home, ".terraform.d", "plugins"), filepath.Join(home, ".local", "share", "terraform", "plugins"))
	}
	var out []Method
	for _, folder := range folders {
		if exists(folder) {
			out = append(out, Method{Kind: FilesystemMirror, Location: folder})
		}
	}
	return append(out, Method{Kind: Direct})
}

var configSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "plugin_cache_dir"}, {Name: "plugin_cache_may_break_dependency_lock_file"}, {Name: "disable_checkpoint"}, {Name: "disable_checkpoint_signature"}},
	Blocks: []hcl.BlockHeaderSchema{
		{Type: "provider_installation"},
		{Type: "credentials", LabelNames: []string{"host"}},
		{Type: "credentials_helper", LabelNames: []string{"name"}},
		{Type: "host", LabelNames: []string{"host"}},
	},
}

// read adds what one file says.
func (c *Config) read(name string, required bool) diag.List {
	src, err := os.ReadFile(name)
	if err != nil {
		if os.IsNotExist(err) && !required {
			return nil
		}
		return diag.Warningf("Cannot read CLI configuration file", "%s.", err)
	}
	var file *hcl.File
	var hclDiags hcl.Diagnostics
	if strings.HasSuffix(name, ".json") {
		file, hclDiags = hcljson.Parse(src, name)
	} else {
		file, hclDiags = hclsyntax.ParseConfig(unquoteNames(src), name, hcl.InitialPos)
	}
	if hclDiags.HasErrors() {
		return diag.FromHCL(hclDiags)
	}
	content, _, hclDiags := file.Body.PartialContent(configSchema)
	diags := diag.FromHCL(hclDiags)
	if attr := content.Attributes["plugin_cache_dir"]; attr != nil {
		c.PluginCacheDir = os.ExpandEnv(literal(attr))
	}
	for _, block := range content.Blocks {
		attrs, _ := block.Body.JustAttributes()
		switch block.Type {
		case "credentials":
			if attr := attrs["token"]; attr != nil {
				c.Tokens[block.Labels[0]] = literal(attr)
			}
		case "host":
			if attr := attrs["services"]; attr != nil {
				c.Services[block.Labels[0]] = literalMap(attr)
			}
		case "credentials_helper":
			diags = append(diags, diag.WarningAt(block.DefRange, "Credentials helpers are not supported", "Give tokens in credentials blocks, in TF_TOKEN_… environment variables or with \"tutti login\".")...)
		case "provider_installation":
			diags = append(diags, c.installation(block)...)
		}
	}
	return diags
}

var installationSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: string(FilesystemMirror)}, {Type: string(NetworkMirror)}, {Type: string(Direct)}, {Type: "dev_overrides"},
}}

func (c *Config) installation(block *hcl.Block) diag.List {
	content, hclDiags := block.Body.Content(installationSchema)
	diags := diag.FromHCL(hclDiags)
	c.Explicit = true
	for _, b := range content.Blocks {
		attrs, hclDiags := b.Body.JustAttributes()
		if b.Type == "dev_overrides" {
			c.devOverrides(b, &diags)
			continue
		}
		diags = append(diags, diag.FromHCL(hclDiags)...)
		m := Method{Kind: MethodKind(b.Type)}
		for name, attr := range attrs {
			switch name {
			case "path", "url":
				m.Location = literal(attr)
			case "include":
				m.Include = literalList(attr)
			case "exclude":
				m.Exclude = literalList(attr)
			default:
				diags = append(diags, diag.WarningAt(attr.NameRange, "Unknown argument", "A %s block has no argument %q.", b.Type, name)...)
			}
		}
		if m.Location == "" && m.Kind != Direct {
			diags = append(diags, diag.ErrorAt(b.DefRange, "Incomplete provider installation method", "A %s block needs to say where the mirror is.", b.Type)...)
			continue
		}
		c.Methods = append(c.Methods, m)
	}
	return diags
}

// quotedName is an argument name in quotes, which only the first version of the
// configuration language had; CLI configuration files still use it.
var quotedName = regexp.MustCompile(`(?m)^(\s*)"([^"\n]+)"(\s*=)`)

const quotedPrefix = "quoted_"

// unquoteNames spells argument names in quotes so that they can be parsed.
func unquoteNames(src []byte) []byte {
	return quotedName.ReplaceAllFunc(src, func(match []byte) []byte {
		parts := quotedName.FindSubmatch(match)
		return []byte(string(parts[1]) + quotedPrefix + hex.EncodeToString(parts[2]) + string(parts[3]))
	})
}

// devOverrides reads providers under development: folders by source address.
func (c *Config) devOverrides(b *hcl.Block, diags *diag.List) {
	attrs, hclDiags := b.Body.JustAttributes()
	*diags = append(*diags, diag.FromHCL(hclDiags)...)
	for name, attr := range attrs {
		if text, ok := strings.CutPrefix(name, quotedPrefix); ok {
			if source, err := hex.DecodeString(text); err == nil {
				name = string(source)
			}
		}
		c.devOverride(name, literal(attr), attr.NameRange, diags)
	}
}

func (c *Config) devOverride(source, folder string, rng hcl.Range, diags *diag.List) {
	p, err := addrs.ParseProvider(source)
	if err != nil {
		*diags = append(*diags, diag.ErrorAt(rng, "Invalid provider source", "%q: %s.", source, err)...)
		return
	}
	c.DevOverrides[p.Canonical()] = folder
}

func literal(attr *hcl.Attribute) string {
	v, diags := attr.Expr.Value(nil)
	if diags.HasErrors() || v.Type() != cty.String || v.IsNull() || !v.IsKnown() {
		return ""
	}
	return v.AsString()
}

func literalList(attr *hcl.Attribute) []string {
	v, diags := attr.Expr.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.CanIterateElements() {
		return nil
	}
	var out []string
	for it := v.ElementIterator(); it.Next(); {
		if _, e := it.Element(); e.Type() == cty.String && !e.IsNull() {
			out = append(out, e.AsString())
		}
	}
	return out
}

func literalMap(attr *hcl.Attribute) map[string]string {
	v, diags := attr.Expr.Value(nil)
	out := map[string]string{}
	if diags.HasErrors() || v.IsNull() || !v.CanIterateElements() {
		return out
	}
	for it := v.ElementIterator(); it.Next(); {
		if key, e := it.Element(); e.Type() == cty.String && !e.IsNull() {
			out[key.AsString()] = e.AsString()
		}
	}
	return out
}

// Platform is the operating system and architecture packages are for.
func Platform() string { return runtime.GOOS + "_" + runtime.GOARCH }

// executable finds a provider's program in a package folder.
func executable(dir string, p addrs.Provider) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	prefix := "terraform-provider-" + p.Type
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".exe")
		if rest, ok := strings.CutPrefix(name, prefix); ok && (rest == "" || rest[0] == '_') && !e.IsDir() {
			return filepath.Join(dir, e.Name()), nil
		}
	}
	return "", fmt.Errorf("%s contains no program named %s…", dir, prefix)
}
