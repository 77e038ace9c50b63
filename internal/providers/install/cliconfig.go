// Package install finds providers and brings them onto this machine: from
// mirrors on disk or in the network, from registries, or from where a developer
// builds them. What was chosen is written to the dependency lock file, and what
// is used is checked against it.
package install

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
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
	// DisableCheckpoint says that nobody may be asked about new versions of this
	// program.
	DisableCheckpoint bool
	// Tokens are credentials by host, from files and environment. Most callers
	// want [Config.Token].
	Tokens map[string]string
	// Helper is the program that keeps credentials; nil for none.
	Helper *CredentialsHelper
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
	covered := func(pattern string) bool { return matches(pattern, p) }
	if slices.ContainsFunc(m.Exclude, covered) {
		return false
	}
	return len(m.Include) == 0 || slices.ContainsFunc(m.Include, covered)
}

// patternParts splits a pattern such as "example.com/*/*"; nil where it is none.
func patternParts(pattern string) []string {
	parts := strings.Split(strings.ToLower(pattern), "/")
	switch len(parts) {
	case 1:
		parts = []string{addrs.DefaultRegistryHost, "hashicorp", parts[0]}
	case 2:
		parts = append([]string{addrs.DefaultRegistryHost}, parts...)
	}
	if len(parts) != 3 || slices.Contains(parts, "") {
		return nil
	}
	return parts
}

// matches compares a provider with a pattern.
func matches(pattern string, p addrs.Provider) bool {
	parts := patternParts(pattern)
	if parts == nil {
		return false
	}
	host := parts[0] == "*" || slices.Contains(hosts(p), parts[0])
	return host && (parts[1] == "*" || parts[1] == p.Namespace) && (parts[2] == "*" || parts[2] == p.Type)
}

// LoadConfig reads the CLI configuration: the file that TF_CLI_CONFIG_FILE
// names, or those in the user's home; saved credentials; environment variables.
// The environment is a list of NAME=VALUE, in which HOME is the user's home.
func LoadConfig(environ []string) (*Config, diag.List) {
	env := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	c := &Config{DevOverrides: map[addrs.Provider]string{}, Tokens: map[string]string{}, Services: map[string]map[string]string{}}
	var diags diag.List
	for _, file := range configFiles(env) {
		diags = append(diags, c.read(file, env)...)
	}
	if dir := env["TF_PLUGIN_CACHE_DIR"]; dir != "" {
		c.PluginCacheDir = dir
	}
	c.PluginCacheMayBreakLock = c.PluginCacheMayBreakLock || truth(env["TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE"])
	c.DisableCheckpoint = c.DisableCheckpoint || env["CHECKPOINT_DISABLE"] != ""
	for name, token := range env {
		if host, ok := hostOfVariable(name); ok && token != "" {
			c.Tokens[host] = token
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
		out = append(out, configFile{name: CredentialsFile(home)})
	}
	for _, name := range []string{"TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG"} {
		if file := env[name]; file != "" {
			return append(out, configFile{name: file, required: true}) // and nothing else
		}
	}
	if home == "" {
		return out
	}
	for _, pattern := range []string{"*.tfrc", "*.tfrc.json"} {
		names, _ := filepath.Glob(filepath.Join(home, ".terraform.d", pattern)) // in order
		for _, name := range names {
			if name != CredentialsFile(home) {
				out = append(out, configFile{name: name})
			}
		}
	}
	for _, name := range []string{".tuttirc", ".terraformrc"} {
		if path := filepath.Join(home, name); exists(path) {
			return append(out, configFile{name: path})
		}
	}
	return out
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func truth(text string) bool { return text != "" && text != "0" && text != "false" }

// impliedMethods are those that hold where the user says nothing: folders where
// people put providers by hand, each for what is in it, and the registries for
// everything else.
func impliedMethods(env map[string]string) []Method {
	folders := []string{filepath.Join("terraform.d", "plugins")}
	data, shared := env["XDG_DATA_HOME"], env["XDG_DATA_DIRS"]
	if home := env["HOME"]; home != "" {
		folders = append(folders, filepath.Join(home, ".terraform.d", "plugins"))
		if data == "" {
			data = filepath.Join(home, ".local", "share")
		}
	}
	if shared == "" {
		shared = "/usr/local/share:/usr/share"
	}
	for _, dir := range append([]string{data}, filepath.SplitList(shared)...) {
		if filepath.IsAbs(dir) {
			folders = append(folders, filepath.Join(dir, "terraform", "plugins"))
		}
	}
	var out []Method
	direct := Method{Kind: Direct}
	for _, folder := range folders {
		var include []string
		for _, p := range providersIn(folder) {
			include = append(include, p.String())
		}
		if len(include) > 0 {
			out = append(out, Method{Kind: FilesystemMirror, Location: folder, Include: include})
			direct.Exclude = append(direct.Exclude, include...)
		}
	}
	return append(out, direct)
}

// read adds what one file says.
func (c *Config) read(file configFile, env map[string]string) diag.List {
	src, err := os.ReadFile(file.name)
	if err != nil {
		if os.IsNotExist(err) && !file.required {
			return nil
		}
		if os.IsNotExist(err) {
			return diag.Warningf("Unable to open CLI configuration file", "There is no file %s, which TF_CLI_CONFIG_FILE names.", file.name)
		}
		return diag.Warningf("Unable to open CLI configuration file", "%s.", err)
	}
	root, diags := parseRC(src, file.name)
	if diags.HasErrors() {
		return diags
	}
	for _, f := range root.fields {
		switch f.name {
		case "plugin_cache_dir":
			c.PluginCacheDir = os.Expand(f.node.text, func(name string) string { return env[name] })
		case "plugin_cache_may_break_dependency_lock_file":
			c.PluginCacheMayBreakLock = truth(f.node.text)
		case "disable_checkpoint":
			c.DisableCheckpoint = truth(f.node.text)
		case "disable_checkpoint_signature":
			// Nothing is signed where nobody is asked.
		case "credentials", "host", "credentials_helper":
			for _, block := range f.node.each() {
				for _, labelled := range block.fields {
					diags = append(diags, c.labelled(f.name, labelled, env)...)
				}
			}
		case "provider_installation":
			for _, block := range f.node.each() {
				if c.Explicit {
					diags = append(diags, diag.ErrorAt(f.rng, "Duplicate provider_installation block", "There must be one provider_installation block in all CLI configuration files together.")...)
					continue
				}
				c.Explicit = true
				diags = append(diags, c.installation(block)...)
			}
		default:
			diags = append(diags, diag.WarningAt(f.rng, "Unknown CLI configuration setting", "%q means nothing to this program and is left out of account.", f.name)...)
		}
	}
	return diags
}

// labelled reads a credentials, host or credentials_helper block.
func (c *Config) labelled(kind string, f rcField, env map[string]string) diag.List {
	if kind == "credentials_helper" {
		c.Helper = newCredentialsHelper(f.name, env)
		for _, arg := range f.node.fields {
			if arg.name == "args" {
				c.Helper.args = arg.node.texts()
			}
		}
		return nil
	}
	host, err := normalHost(f.name)
	if err != nil {
		return diag.ErrorAt(f.rng, "Invalid host name", "%s.", err)
	}
	for _, block := range f.node.each() {
		if kind == "credentials" {
			if token := block.field("token"); token != "" {
				c.Tokens[host] = token
			}
			continue
		}
		services := map[string]string{}
		for _, s := range block.fields {
			if s.name == "services" {
				for _, service := range s.node.fields {
					services[service.name] = service.node.text
				}
			}
		}
		c.Services[host] = services
	}
	return nil
}

// installation reads a provider_installation block.
func (c *Config) installation(block rcNode) diag.List {
	var diags diag.List
	for _, f := range block.fields {
		for _, node := range f.node.each() {
			switch kind := MethodKind(f.name); kind {
			case FilesystemMirror, NetworkMirror, Direct:
				m := Method{Kind: kind}
				d := m.read(node, f.rng)
				if diags = append(diags, d...); !d.HasErrors() {
					c.Methods = append(c.Methods, m)
				}
			case "dev_overrides":
				for _, o := range node.fields {
					diags = append(diags, c.devOverride(o)...)
				}
			default:
				diags = append(diags, diag.WarningAt(f.rng, "Unknown provider installation method", "%q is not a way to get providers that this program knows.", f.name)...)
			}
		}
	}
	return diags
}

// read takes a method's arguments.
func (m *Method) read(node rcNode, rng hcl.Range) diag.List {
	var diags diag.List
	location := map[MethodKind]string{FilesystemMirror: "path", NetworkMirror: "url", Direct: ""}[m.Kind]
	for _, arg := range node.fields {
		switch arg.name {
		case location:
			m.Location = arg.node.text
		case "include":
			m.Include = arg.node.texts()
		case "exclude":
			m.Exclude = arg.node.texts()
		default:
			diags = append(diags, diag.WarningAt(arg.rng, "Unknown argument", "A %s block has no argument %q.", m.Kind, arg.name)...)
		}
	}
	for _, pattern := range slices.Concat(m.Include, m.Exclude) {
		if patternParts(pattern) == nil {
			diags = append(diags, diag.ErrorAt(rng, "Invalid provider pattern", "%q is not a provider source with * for any of its parts.", pattern)...)
		}
	}
	switch {
	case location != "" && m.Location == "":
		diags = append(diags, diag.ErrorAt(rng, "Incomplete provider installation method", "A %s block needs the argument %q.", m.Kind, location)...)
	case m.Kind == NetworkMirror && !strings.HasPrefix(m.Location, "https://"):
		diags = append(diags, diag.ErrorAt(rng, "Invalid network mirror", "The address of a network mirror must begin with https://.")...)
	}
	return diags
}

func (c *Config) devOverride(f rcField) diag.List {
	p, err := addrs.ParseProvider(f.name)
	if err != nil {
		return diag.ErrorAt(f.rng, "Invalid provider source", "%q: %s.", f.name, err)
	}
	c.DevOverrides[p.Canonical()] = f.node.text
	return nil
}

// Platform is the operating system and architecture packages are for.
func Platform() string { return runtime.GOOS + "_" + runtime.GOARCH }
