package modules

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// sourceKind says by what means a module is got.
type sourceKind byte

// The kinds of sources.
const (
	localSource    sourceKind = 'l' // a directory of the same package
	registrySource sourceKind = 'r'
	gitSource      sourceKind = 'g'
	httpSource     sourceKind = 'h' // an archive, or a page that says where the module is
	fileSource     sourceKind = 'f' // an archive or a directory on this machine
)

// source is the parsed source argument of a module block.
type source struct {
	Kind sourceKind
	// Package is the normal form without the part behind "//"; for local sources
	// the path.
	Package string
	// Subdir is the module's directory inside its package, with slashes.
	Subdir string

	// Host, Namespace, Name and System are the parts of a registry address.
	Host, Namespace, Name, System string

	// Address is what is downloaded, without the prefix that names the means.
	// Nil for local and registry sources.
	Address *url.URL
}

// String returns the normal form, as the manifest records it.
func (s source) String() string {
	if s.Subdir == "" {
		return s.Package
	}
	base, query, found := strings.Cut(s.Package, "?")
	if found {
		query = "?" + query
	}
	return base + "//" + s.Subdir + query
}

// sameAs reports whether a source recorded in a manifest, perhaps by another
// program, is this one. The two public registries name the same modules.
func (s source) sameAs(recorded string) bool {
	if recorded == s.String() {
		return true
	}
	other, err := parseSource(recorded)
	return err == nil && publicHost(other.String()) == publicHost(s.String())
}

func publicHost(text string) string {
	if rest, ok := strings.CutPrefix(text, addrs.OpenTofuRegistryHost+"/"); ok {
		return addrs.TerraformRegistryHost + "/" + rest
	}
	return text
}

// sourceOf reads the source argument of a module block. A version argument
// makes sense only for registries.
func sourceOf(call *configs.ModuleCall) (source, diag.List) {
	s, err := parseSource(call.SourceAddr)
	if err != nil {
		return s, diag.ErrorAt(call.SourceRange, "Invalid module source address", "The source of module %q: %s.", call.Name, err)
	}
	if len(call.Constraints) > 0 && s.Kind != registrySource {
		return s, diag.ErrorAt(constraintRange(call), "Invalid version constraint",
			"The module %q is not from a registry, so the argument \"version\" has no meaning: only registries have versions. For a Git repository, choose a tag with ?ref= in the source.", call.Name)
	}
	return s, nil
}

var (
	forcedPrefix = regexp.MustCompile(`^([A-Za-z0-9]+)::(.+)$`)
	// scpAddress is the short form of an SSH address: user@host:path.
	scpAddress   = regexp.MustCompile(`^(?:([A-Za-z0-9_.-]+)@)([A-Za-z0-9.-]+):(.+)$`)
	registryPart = regexp.MustCompile(`^[0-9A-Za-z](?:[0-9A-Za-z_-]{0,62}[0-9A-Za-z])?$`)
	systemPart   = regexp.MustCompile(`^[0-9a-z]{1,64}$`)
	hostPart     = regexp.MustCompile(`^[0-9A-Za-z\p{L}](?:[0-9A-Za-z\p{L}.-]*[0-9A-Za-z\p{L}])?(?::[0-9]{1,5})?$`)
)

// parseSource reads a source address. Errors complete the sentence "The source
// of module x: …".
func parseSource(text string) (source, error) {
	if text != strings.TrimSpace(text) {
		return source{}, fmt.Errorf("the address must not begin or end with spaces")
	}
	if configs.IsLocalSource(text) {
		clean := path.Clean(filepath.ToSlash(text))
		if !strings.HasPrefix(clean, "../") {
			clean = "./" + clean // also "./..", which is how others write it in manifests
		}
		return source{Kind: localSource, Package: clean}, nil
	}
	if s, ok, err := parseRegistry(text); ok || err != nil {
		return s, err
	}
	return parseRemote(text)
}

// parseRegistry reads [HOST/]NAMESPACE/NAME/SYSTEM[//SUBDIR]. ok is false where
// the text is of another kind.
func parseRegistry(text string) (s source, ok bool, err error) {
	main, subdir, _ := strings.Cut(text, "//")
	parts := strings.Split(main, "/")
	host := addrs.DefaultRegistryHost
	switch len(parts) {
	case 3:
	case 4:
		host, parts = parts[0], parts[1:]
		// Without a dot or port it would rather be a path.
		if !hostPart.MatchString(host) || !strings.ContainsAny(host, ".:") && host != "localhost" {
			return s, false, nil
		}
		if host == "github.com" || host == "bitbucket.org" {
			return s, false, nil // repositories, by a shorthand
		}
	default:
		return s, false, nil
	}
	if !registryPart.MatchString(parts[0]) || !registryPart.MatchString(parts[1]) || !systemPart.MatchString(parts[2]) {
		return s, false, nil
	}
	if subdir, err = cleanSubdir(subdir); err != nil {
		return s, false, err
	}
	s = source{Kind: registrySource, Host: strings.ToLower(host), Namespace: parts[0], Name: parts[1], System: parts[2], Subdir: subdir}
	s.Package = strings.Join([]string{s.Host, s.Namespace, s.Name, s.System}, "/")
	return s, true, nil
}

// display is the address as people write it: without the default host.
func (s source) display() string {
	return strings.TrimPrefix(s.Package, addrs.DefaultRegistryHost+"/")
}

// parseRemote reads the address of a package somewhere else.
func parseRemote(text string) (source, error) {
	main, subdir, err := splitSubdir(text)
	if err != nil {
		return source{}, err
	}
	means := ""
	if match := forcedPrefix.FindStringSubmatch(main); match != nil {
		means, main = strings.ToLower(match[1]), match[2]
	}
	s := source{Subdir: subdir}
	switch means {
	case "", "git", "http", "https", "file":
	case "s3", "gcs", "hg", "oci":
		return source{}, fmt.Errorf("modules cannot be got with %q. Use a registry, a Git repository, or an archive behind an https address; objects in a bucket have such addresses, which may be signed", means+"::")
	default:
		return source{}, fmt.Errorf("%q is not a means to get modules. There are git::, https:: and file::", means+"::")
	}
	expanded, inside := expandShorthand(main)
	if expanded != main && means == "" {
		means = "git"
	}
	main = expanded
	if inside != "" {
		if s.Subdir, err = cleanSubdir(path.Join(inside, s.Subdir)); err != nil {
			return source{}, err
		}
	}
	address, detected, err := locate(main, means)
	if err != nil {
		return source{}, err
	}
	s.Address = address
	switch {
	case means == "git" || detected == gitSource:
		s.Kind = gitSource
		s.Package = "git::" + address.String()
		return s, nil
	case address.Scheme == "http" || address.Scheme == "https":
		s.Kind = httpSource
	case address.Scheme == "file":
		s.Kind = fileSource
	default:
		return source{}, fmt.Errorf("addresses of the scheme %q cannot be downloaded", address.Scheme)
	}
	s.Package = address.String()
	return s, nil
}

// splitSubdir takes "//dir" out of an address, leaving the query.
func splitSubdir(text string) (main, subdir string, err error) {
	from := 0
	if i := strings.Index(text, "://"); i >= 0 {
		from = i + len("://")
	}
	query := ""
	main = text
	if i := strings.IndexByte(main, '?'); i >= 0 {
		main, query = main[:i], main[i:]
	}
	if from > len(main) {
		return text, "", nil
	}
	i := strings.Index(main[from:], "//")
	if i < 0 {
		return text, "", nil
	}
	main, subdir = main[:from+i], main[from+i+2:]
	subdir, err = cleanSubdir(subdir)
	return main + query, subdir, err
}

// cleanSubdir checks that a directory inside a package does not lead out of it.
func cleanSubdir(subdir string) (string, error) {
	if subdir == "" {
		return "", nil
	}
	clean := path.Clean(filepath.ToSlash(subdir))
	if clean == ".." || strings.HasPrefix(clean, "../") || path.IsAbs(clean) {
		return "", fmt.Errorf("the directory %q leads out of the module package", subdir)
	}
	if clean == "." {
		return "", nil
	}
	return clean, nil
}

// locate turns what people write into an address: the short form of SSH, and
// paths.
func locate(text, means string) (*url.URL, sourceKind, error) {
	if filepath.IsAbs(text) {
		where, query, _ := strings.Cut(filepath.ToSlash(text), "?")
		return &url.URL{Scheme: "file", Path: where, RawQuery: query}, fileSource, nil
	}
	if strings.Contains(text, "://") {
		address, err := url.Parse(text)
		if err != nil {
			// The parser's error repeats the address, which may hold a password.
			return nil, 0, fmt.Errorf("this is not a valid address")
		}
		if address.Scheme == "ssh" || address.Scheme == "git" {
			if means != "" && means != "git" {
				return nil, 0, fmt.Errorf("an address of the scheme %q is not one of %s::", address.Scheme, means)
			}
			return address, gitSource, nil
		}
		return address, 0, nil
	}
	if match := scpAddress.FindStringSubmatch(text); match != nil && (means == "" || means == "git") {
		where, query, _ := strings.Cut(match[3], "?")
		address := &url.URL{Scheme: "ssh", Host: match[2], Path: "/" + strings.TrimPrefix(where, "/"), RawQuery: query}
		if match[1] != "" {
			address.User = url.User(match[1])
		}
		return address, gitSource, nil
	}
	return nil, 0, fmt.Errorf("%q is neither a path (those begin with ./ or ../) nor a registry address (NAMESPACE/NAME/SYSTEM) nor an address to download from. For a directory beside this module, write \"./%[1]s\"", text)
}

// expandShorthand turns HOST/OWNER/NAME[/DIR] into the address of a repository,
// for the code hosts that everybody writes so. Other text comes back as it is.
func expandShorthand(text string) (address, subdir string) {
	where, query, found := strings.Cut(text, "?")
	if found {
		query = "?" + query
	}
	parts := strings.Split(strings.TrimSuffix(where, "/"), "/")
	if len(parts) < 3 || parts[0] != "github.com" && parts[0] != "bitbucket.org" || parts[1] == "" || parts[2] == "" {
		return text, ""
	}
	name := strings.TrimSuffix(parts[2], ".git") + ".git"
	return "https://" + parts[0] + "/" + parts[1] + "/" + name + query, strings.Join(parts[3:], "/")
}
