package projects

import (
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// SecretSource is where the value of a secret comes from.
type SecretSource string

// The sources of secrets.
const (
	SecretStore       SecretSource = "store"       // Tutti's own store, sealed
	SecretEnvironment SecretSource = "environment" // a variable of the process's environment
	SecretFile        SecretSource = "file"
	SecretVault       SecretSource = "vault"      // a KV engine of Vault or OpenBao
	SecretKubernetes  SecretSource = "kubernetes" // a key of a Secret object
	SecretExec        SecretSource = "exec"       // what a command prints
)

// Secret is a secret block: a name for a value that stands elsewhere. The value
// is never part of the project.
type Secret struct {
	Name      string
	Source    SecretSource
	DeclRange hcl.Range
	Rotation  *Rotation // nil where the project does not say how it is rotated

	Variable string // of the environment
	Path     string // of the file, relative to the project
	Command  []string
	Vault    VaultSecret

	Kubernetes KubernetesSecret
}

// VaultSecret says where in a KV engine a secret is.
type VaultSecret struct {
	Address   string // empty: VAULT_ADDR or BAO_ADDR
	Namespace string
	Mount     string // of the engine
	Path      string // in the engine
	Field     string
	TokenFile string // empty: VAULT_TOKEN or BAO_TOKEN
	Version   int    // of the engine: 1 or 2
}

// KubernetesSecret says which key of which Secret object of which cluster it is.
type KubernetesSecret struct {
	Kubeconfig string // relative to the project; empty: as kubectl finds it
	Context    string // of the kubeconfig; empty: the current one
	Namespace  string // empty: the context's, or the pod's
	Name       string
	Key        string
}

// What Kubernetes accepts as names of objects, and as keys of secrets.
var (
	objectName = regexp.MustCompile(`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`)
	secretKey  = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)
)

var secretSources = []hcl.BlockHeaderSchema{
	{Type: "store"}, {Type: "environment"}, {Type: "file"}, {Type: "vault"}, {Type: "exec"}, {Type: "kubernetes"},
}

func (d *decoder) secret(block *hcl.Block) *Secret {
	s := &Secret{Name: block.Labels[0], DeclRange: block.DefRange}
	var blocks, rotations hcl.Blocks
	for _, b := range d.content(block, nil, nil, append(secretSources, hcl.BlockHeaderSchema{Type: "rotation"})...).Blocks {
		if b.Type == "rotation" {
			rotations = append(rotations, b)
		} else {
			blocks = append(blocks, b)
		}
	}
	if len(blocks) != 1 {
		d.errorAt(block.DefRange, "Secret without one source", "A secret has exactly one source: one of the blocks store, environment, file, vault, kubernetes and exec. Here there are %d.", len(blocks))
		return s
	}
	source := blocks[0]
	s.Source = SecretSource(source.Type)
	switch source.Type {
	case "store":
		d.content(source, nil, nil)
	case "environment":
		d.given(d.content(source, []string{"variable"}, nil), "variable", &s.Variable)
	case "file":
		d.given(d.content(source, []string{"path"}, nil), "path", &s.Path)
	case "exec":
		content := d.content(source, []string{"command"}, nil)
		if d.constant(content, "command", &s.Command) && (len(s.Command) == 0 || s.Command[0] == "") {
			d.errorAt(content.Attributes["command"].Expr.Range(), "Empty command", "A command is a list of a program and its arguments.")
		}
	case "vault":
		d.vault(source, &s.Vault)
	case "kubernetes":
		d.kubernetes(source, &s.Kubernetes)
	}
	for i, b := range rotations {
		if i > 0 {
			d.errorAt(b.DefRange, "Duplicate rotation block", "A secret has one rotation block at most.")
			continue
		}
		s.Rotation = d.rotation(s, b)
	}
	return s
}

// given decodes a text that must not be empty.
func (d *decoder) given(content *hcl.BodyContent, name string, into *string) {
	if d.constant(content, name, into) && *into == "" {
		d.errorAt(content.Attributes[name].Expr.Range(), "Empty argument", "The argument %q must not be empty.", name)
	}
}

func (d *decoder) vault(block *hcl.Block, v *VaultSecret) {
	content := d.content(block, []string{"path", "field"}, []string{"address", "namespace", "mount", "token_file", "version"})
	d.given(content, "path", &v.Path)
	d.given(content, "field", &v.Field)
	d.given(content, "mount", &v.Mount)
	d.given(content, "token_file", &v.TokenFile)
	d.constant(content, "namespace", &v.Namespace)
	v.Version = 2
	if d.constant(content, "version", &v.Version) && v.Version != 1 && v.Version != 2 {
		d.errorAt(content.Attributes["version"].Expr.Range(), "Invalid version", "The version of the KV engine is 1 or 2.")
	}
	if d.constant(content, "address", &v.Address) {
		if problem := CheckSecureAddress(v.Address); problem != "" {
			d.errorAt(content.Attributes["address"].Expr.Range(), "Invalid address", "%s", problem)
		}
	}
	v.Path = strings.Trim(v.Path, "/")
	if v.Mount = strings.Trim(v.Mount, "/"); v.Mount == "" && v.Path != "" {
		var inside bool
		if v.Mount, v.Path, inside = strings.Cut(v.Path, "/"); !inside {
			d.errorAt(content.Attributes["path"].Expr.Range(), "Invalid path", "The path begins with where the engine is mounted: write \"MOUNT/PATH\", or give the mount by itself.")
		}
	}
}

func (d *decoder) kubernetes(block *hcl.Block, k *KubernetesSecret) {
	content := d.content(block, []string{"name", "key"}, []string{"namespace", "kubeconfig", "context"})
	d.given(content, "kubeconfig", &k.Kubeconfig)
	d.given(content, "context", &k.Context)
	for _, named := range []struct {
		argument string
		into     *string
		form     *regexp.Regexp
		what     string
	}{
		{"namespace", &k.Namespace, objectName, "The name of a namespace is made of lower case letters, digits and \"-\"."},
		{"name", &k.Name, objectName, "The name of a Secret object is made of lower case letters, digits, \"-\" and \".\"."},
		{"key", &k.Key, secretKey, "A key of a Secret object is made of letters, digits, \"-\", \"_\" and \".\"."},
	} {
		if d.constant(content, named.argument, named.into) && !named.form.MatchString(*named.into) {
			d.errorAt(content.Attributes[named.argument].Expr.Range(), "Invalid "+named.argument, "%s", named.what)
		}
	}
}

// CheckSecureAddress says what is wrong with the address of a server that is sent
// a token and answers with a secret; empty where nothing is.
func CheckSecureAddress(address string) string {
	return checkServer(address, "The address of a server is a URL such as https://vault.example.com:8200.", "Without TLS a token is sent to this machine only: the address must begin with https://.")
}
