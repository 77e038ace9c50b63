package install

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
)

// mirrorSource speaks the provider network mirror protocol.
type mirrorSource struct {
	client
	base string
}

func (s mirrorSource) String() string { return plainURL(s.base) }

// host is whose credentials the mirror gets.
func (s mirrorSource) host() string {
	u, err := url.Parse(s.base)
	if err != nil {
		return ""
	}
	return u.Host
}

func (s mirrorSource) versions(ctx context.Context, p addrs.Provider, _ string) ([]available, error) {
	for _, host := range hosts(p) {
		p.Hostname = host
		base := strings.TrimSuffix(s.base, "/") + "/" + p.String() + "/"
		var index struct {
			Versions map[string]struct{} `json:"versions"`
		}
		err := s.get(ctx, base+"index.json", s.host(), &index)
		if errors.Is(err, errNotHere) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var out []available
		for text := range index.Versions {
			if v, ok := newAvailable(text, base+text+".json"); ok {
				out = append(out, v)
			}
		}
		return out, nil
	}
	return nil, errNotHere
}

func (s mirrorSource) fetch(ctx context.Context, _ addrs.Provider, v available, platform string) (fetched, error) {
	var doc struct {
		Archives map[string]struct {
			URL    string   `json:"url"`
			Hashes []string `json:"hashes"`
		} `json:"archives"`
	}
	if err := s.get(ctx, v.place, s.host(), &doc); err != nil {
		if errors.Is(err, errNotHere) {
			return fetched{}, fmt.Errorf("the mirror lists version %s, but does not have it", v.text)
		}
		return fetched{}, err
	}
	archive, ok := doc.Archives[platform]
	if !ok {
		return fetched{}, fmt.Errorf("version %s is not available for %s", v.text, platform)
	}
	address, err := resolve(v.place, archive.URL)
	if err != nil {
		return fetched{}, err
	}
	host := ""
	if u, err := url.Parse(address); err == nil && u.Host == s.host() {
		host = u.Host // nobody else is given the mirror's credentials
	}
	file, err := s.download(ctx, address, host)
	if err != nil {
		return fetched{}, err
	}
	out := fetched{archive: file, remove: true, expected: archive.Hashes, verified: unauthenticated}
	if len(archive.Hashes) > 0 {
		out.verified = "verified checksum"
	}
	return out, nil
}

// registrySource speaks the provider registry protocol with the provider's own
// host.
type registrySource struct {
	client
	services *discovery
	host     string
}

func (s registrySource) String() string { return s.host }

// registryVersion is one version in a registry's list.
type registryVersion struct {
	Version   string   `json:"version"`
	Protocols []string `json:"protocols"`
	Platforms []struct {
		OS   string `json:"os"`
		Arch string `json:"arch"`
	} `json:"platforms"`
}

// fits reports whether the version can run on a platform, under one of the
// protocols this program speaks. What the registry does not say is let pass.
func (v registryVersion) fits(platform string) bool {
	ours := len(v.Platforms) == 0
	for _, target := range v.Platforms {
		ours = ours || target.OS+"_"+target.Arch == platform
	}
	spoken := len(v.Protocols) == 0 || slices.ContainsFunc(v.Protocols, func(p string) bool {
		major, _, _ := strings.Cut(p, ".")
		return major == "5" || major == "6"
	})
	return ours && spoken
}

func (s registrySource) versions(ctx context.Context, p addrs.Provider, platform string) ([]available, error) {
	base, err := s.services.service(ctx, s.client, p.Hostname, "providers.v1")
	if err != nil {
		return nil, err
	}
	base = strings.TrimSuffix(base, "/") + "/" + p.Namespace + "/" + p.Type
	var doc struct {
		Versions []registryVersion `json:"versions"`
	}
	if err := s.get(ctx, base+"/versions", p.Hostname, &doc); err != nil {
		return nil, err
	}
	goos, goarch, _ := strings.Cut(platform, "_")
	var out []available
	for _, listed := range doc.Versions {
		if v, ok := newAvailable(listed.Version, base+"/"+listed.Version+"/download/"+goos+"/"+goarch); ok && listed.fits(platform) {
			out = append(out, v)
		}
	}
	return out, nil
}

// registryPackage is what a registry says about one package.
type registryPackage struct {
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

// fetch downloads a package and checks it against the registry's list of
// checksums, and the list's signature against the keys the registry names.
func (s registrySource) fetch(ctx context.Context, p addrs.Provider, v available, _ string) (fetched, error) {
	var doc registryPackage
	if err := s.get(ctx, v.place, p.Hostname, &doc); err != nil {
		if errors.Is(err, errNotHere) {
			return fetched{}, fmt.Errorf("the registry lists version %s, but has no package of it for this platform", v.text)
		}
		return fetched{}, err
	}
	sums, err := s.file(ctx, v.place, doc.ShasumsURL)
	if err != nil {
		return fetched{}, err
	}
	var keys []string
	for _, key := range doc.SigningKeys.Keys {
		keys = append(keys, key.ASCII)
	}
	out := fetched{remove: true, expected: []string{"zh:" + doc.Shasum}, verified: "verified checksum, not signed"}
	if doc.SignatureURL != "" && len(keys) > 0 {
		signature, err := s.file(ctx, v.place, doc.SignatureURL)
		if err != nil {
			return fetched{}, err
		}
		key, err := checkSignature(sums, signature, keys)
		if err != nil {
			return fetched{}, err
		}
		out.verified = "signed, key ID " + key
		out.vouched = listedHashes(sums)
	}
	if listed := sumOf(sums, doc.Filename); listed == "" || listed != doc.Shasum {
		return fetched{}, fmt.Errorf("the registry's checksum of %s is not the one in its list of checksums", doc.Filename)
	}
	address, err := resolve(v.place, doc.DownloadURL)
	if err != nil {
		return fetched{}, err
	}
	if out.archive, err = s.download(ctx, address, ""); err != nil {
		return fetched{}, err
	}
	have, err := zipHash(out.archive)
	if err == nil && have != "zh:"+doc.Shasum {
		err = fmt.Errorf("the checksum of the package downloaded from %s is not the one the registry gives", plainURL(address))
	}
	if err != nil {
		_ = os.Remove(out.archive)
		return fetched{}, err
	}
	return out, nil
}

// file reads a small file that a registry's answer refers to.
func (s registrySource) file(ctx context.Context, base, ref string) ([]byte, error) {
	address, err := resolve(base, ref)
	if err != nil {
		return nil, err
	}
	data, err := s.text(ctx, address, "")
	if err != nil {
		return nil, fmt.Errorf("cannot download %s: %w", plainURL(address), err)
	}
	return data, nil
}
