package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/tutti-dev/tutti/internal/addrs"
)

// source is a place to get packages from.
type source interface {
	// versions lists the versions there are; errNotHere where the place does not
	// know the provider.
	versions(ctx context.Context, p addrs.Provider) ([]available, error)
	// fetch brings a package as a folder or a zip file.
	fetch(ctx context.Context, p addrs.Provider, v available) (fetched, error)
	String() string
}

// available is a version somebody offers for this platform.
type available struct {
	version *version.Version
	text    string // as the source writes it
	place   string // where the package is, as the source needs it
}

// fetched is a package. Exactly one of folder and archive is set.
type fetched struct {
	folder  string // unpacked, to be linked
	archive string // a zip file
	remove  bool   // the zip file is temporary
	// hashes are those that the source vouches for.
	hashes []string
	// verified says how far the package was checked.
	verified string
}

// errNotHere says that a source does not know a provider.
var errNotHere = errors.New("not here")

// folderSource is a mirror on disk, packed or unpacked.
type folderSource struct{ dir string }

func (s folderSource) String() string { return s.dir }

// hosts lists the hosts under which a provider may lie.
func hosts(p addrs.Provider) []string {
	switch p.Hostname {
	case addrs.TerraformRegistryHost:
		return []string{p.Hostname, addrs.OpenTofuRegistryHost}
	case addrs.OpenTofuRegistryHost:
		return []string{p.Hostname, addrs.TerraformRegistryHost}
	}
	return []string{p.Hostname}
}

func (s folderSource) versions(_ context.Context, p addrs.Provider) ([]available, error) {
	var out []available
	for _, host := range hosts(p) {
		dir := filepath.Join(s.dir, host, p.Namespace, p.Type)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			out = append(out, s.entry(dir, e.Name(), p)...)
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	if _, err := os.Stat(s.dir); err != nil {
		return nil, fmt.Errorf("cannot read the mirror: %w", err)
	}
	return nil, errNotHere
}

// entry understands one name in a provider's folder: a version, or a package.
func (s folderSource) entry(dir, name string, p addrs.Provider) []available {
	if rest, ok := strings.CutPrefix(name, "terraform-provider-"+p.Type+"_"); ok {
		if text, ok := strings.CutSuffix(rest, "_"+Platform()+".zip"); ok {
			if v, err := version.NewVersion(text); err == nil {
				return []available{{v, text, filepath.Join(dir, name)}}
			}
		}
		return nil
	}
	v, err := version.NewVersion(name)
	if err != nil {
		return nil
	}
	folder := filepath.Join(dir, name, Platform())
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return nil
	}
	return []available{{v, name, folder}}
}

func (s folderSource) fetch(_ context.Context, _ addrs.Provider, v available) (fetched, error) {
	if strings.HasSuffix(v.place, ".zip") {
		return fetched{archive: v.place, verified: "from a mirror on disk"}, nil
	}
	place, err := filepath.Abs(v.place)
	return fetched{folder: place, verified: "from a mirror on disk"}, err
}

// client is what network sources share.
type client struct {
	http   *http.Client
	tokens map[string]string
}

// maxDocument bounds what is read of a JSON document.
const maxDocument = 32 << 20

// get reads a JSON document. A 404 is errNotHere.
func (c client) get(ctx context.Context, address string, into any) error {
	resp, err := c.do(ctx, address)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(into); err != nil {
		return fmt.Errorf("the answer of %s is not the JSON expected: %w", address, err)
	}
	return nil
}

func (c client) do(ctx context.Context, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if token := c.tokens[req.URL.Host]; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	var resp *http.Response
	for attempt := 0; ; attempt++ {
		resp, err = c.http.Do(req)
		if err == nil && resp.StatusCode < 500 || attempt == 2 || ctx.Err() != nil {
			break
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		timer := time.NewTimer(time.Duration(attempt+1) * 500 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, errNotHere
	}
	return nil, fmt.Errorf("%s answered %s", address, resp.Status)
}

// download brings a file into a temporary one.
func (c client) download(ctx context.Context, address string) (string, error) {
	resp, err := c.do(ctx, address)
	if err != nil {
		return "", fmt.Errorf("cannot download %s: %w", address, err)
	}
	defer resp.Body.Close()
	f, err := os.CreateTemp("", "tutti-provider-*.zip")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, resp.Body)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("cannot download %s: %w", address, err)
	}
	return f.Name(), nil
}

// resolve makes a reference in a document absolute.
func resolve(base, ref string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	r, err := b.Parse(ref)
	if err != nil {
		return "", err
	}
	return r.String(), nil
}

// mirrorSource speaks the provider network mirror protocol.
type mirrorSource struct {
	client
	base string
}

func (s mirrorSource) String() string { return s.base }

func (s mirrorSource) versions(ctx context.Context, p addrs.Provider) ([]available, error) {
	base := strings.TrimSuffix(s.base, "/") + "/" + p.String() + "/"
	var index struct {
		Versions map[string]struct{} `json:"versions"`
	}
	if err := s.get(ctx, base+"index.json", &index); err != nil {
		return nil, err
	}
	var out []available
	for text := range index.Versions {
		if v, err := version.NewVersion(text); err == nil {
			out = append(out, available{v, text, base + text + ".json"})
		}
	}
	return out, nil
}

func (s mirrorSource) fetch(ctx context.Context, p addrs.Provider, v available) (fetched, error) {
	var doc struct {
		Archives map[string]struct {
			URL    string   `json:"url"`
			Hashes []string `json:"hashes"`
		} `json:"archives"`
	}
	if err := s.get(ctx, v.place, &doc); err != nil {
		return fetched{}, err
	}
	archive, ok := doc.Archives[Platform()]
	if !ok {
		return fetched{}, fmt.Errorf("version %s is not offered for %s", v.text, Platform())
	}
	address, err := resolve(v.place, archive.URL)
	if err != nil {
		return fetched{}, err
	}
	file, err := s.download(ctx, address)
	if err != nil {
		return fetched{}, err
	}
	return fetched{archive: file, remove: true, hashes: archive.Hashes, verified: "from a mirror"}, nil
}

// registrySource speaks the provider registry protocol with the provider's own
// host.
type registrySource struct {
	client
	services map[string]map[string]string
}

func (s registrySource) String() string { return "the provider registry" }

// service finds the base address of a host's provider registry.
func (s registrySource) service(ctx context.Context, host string) (string, error) {
	base := "https://" + host + "/.well-known/terraform.json"
	if override := s.services[host]["providers.v1"]; override != "" {
		return resolve(base, override)
	}
	var doc map[string]any
	if err := s.get(ctx, base, &doc); err != nil {
		if errors.Is(err, errNotHere) {
			return "", fmt.Errorf("%s does not offer a provider registry", host)
		}
		return "", fmt.Errorf("cannot reach %s: %w", host, err)
	}
	text, ok := doc["providers.v1"].(string)
	if !ok {
		return "", fmt.Errorf("%s does not offer a provider registry", host)
	}
	return resolve(base, text)
}

func (s registrySource) versions(ctx context.Context, p addrs.Provider) ([]available, error) {
	base, err := s.service(ctx, p.Hostname)
	if err != nil {
		return nil, err
	}
	base = strings.TrimSuffix(base, "/") + "/" + p.Namespace + "/" + p.Type
	var doc struct {
		Versions []struct {
			Version   string   `json:"version"`
			Protocols []string `json:"protocols"`
			Platforms []struct {
				OS   string `json:"os"`
				Arch string `json:"arch"`
			} `json:"platforms"`
		} `json:"versions"`
	}
	if err := s.get(ctx, base+"/versions", &doc); err != nil {
		return nil, err
	}
	goos, goarch, _ := strings.Cut(Platform(), "_")
	var out []available
	for _, v := range doc.Versions {
		fits := len(v.Platforms) == 0
		for _, platform := range v.Platforms {
			fits = fits || platform.OS == goos && platform.Arch == goarch
		}
		if len(v.Protocols) > 0 && !slices.ContainsFunc(v.Protocols, func(p string) bool { return strings.HasPrefix(p, "5") || strings.HasPrefix(p, "6") }) {
			fits = false
		}
		if parsed, err := version.NewVersion(v.Version); err == nil && fits {
			out = append(out, available{parsed, v.Version, base + "/" + v.Version + "/download/" + goos + "/" + goarch})
		}
	}
	return out, nil
}

func (s registrySource) fetch(ctx context.Context, p addrs.Provider, v available) (fetched, error) {
	var doc struct {
		Filename     string `json:"filename"`
		DownloadURL  string `json:"download_url"`
		Shasum       string `json:"shasum"`
		ShasumsURL   string `json:"shasums_url"`
		SignatureURL string `json:"shasums_signature_url"`
		SigningKeys  struct {
			Keys []struct {
				ASCII string `json:"ascii_armor"`
			} `json:"gpg_public_keys"`
		} `json:"signing_keys"`
	}
	if err := s.get(ctx, v.place, &doc); err != nil {
		return fetched{}, err
	}
	address, err := resolve(v.place, doc.DownloadURL)
	if err != nil {
		return fetched{}, err
	}
	sums, err := s.checksums(ctx, v.place, doc.ShasumsURL)
	if err != nil {
		return fetched{}, err
	}
	var keys []string
	for _, key := range doc.SigningKeys.Keys {
		keys = append(keys, key.ASCII)
	}
	verified, err := s.checkSignature(ctx, v.place, doc.SignatureURL, sums, keys)
	if err != nil {
		return fetched{}, err
	}
	if listed := sumOf(sums, doc.Filename); listed != doc.Shasum {
		return fetched{}, fmt.Errorf("the registry's checksum of %s is not the one in its list of checksums", doc.Filename)
	}
	file, err := s.download(ctx, address)
	if err != nil {
		return fetched{}, err
	}
	out := fetched{archive: file, remove: true, verified: verified}
	have, err := zipHash(file)
	if err == nil && have != "zh:"+doc.Shasum {
		err = fmt.Errorf("the checksum of the package downloaded from %s is not the one the registry gives", address)
	}
	if err != nil {
		_ = os.Remove(file)
		return fetched{}, err
	}
	for _, line := range strings.Split(string(sums), "\n") {
		if fields := strings.Fields(line); len(fields) == 2 {
			out.hashes = append(out.hashes, "zh:"+fields[0])
		}
	}
	return out, nil
}

func (s registrySource) checksums(ctx context.Context, base, ref string) ([]byte, error) {
	return s.text(ctx, base, ref)
}

func (s registrySource) text(ctx context.Context, base, ref string) ([]byte, error) {
	address, err := resolve(base, ref)
	if err != nil {
		return nil, err
	}
	resp, err := s.do(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("cannot download %s: %w", address, err)
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxDocument))
}

// sumOf finds a file in a list of checksums.
func sumOf(sums []byte, name string) string {
	for _, line := range strings.Split(string(sums), "\n") {
		if fields := strings.Fields(line); len(fields) == 2 && fields[1] == name {
			return fields[0]
		}
	}
	return ""
}
