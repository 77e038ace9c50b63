package modules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// registry speaks the module registry protocol with any host. It remembers the
// answers for one installation: modules are often called many times.
type registry struct {
	client
	services Services
	bases    map[string]*url.URL // where hosts have their registry
	versions map[string][]string // by package
}

func newRegistry(in *Installer) *registry {
	return &registry{client: newClient(in), services: in.Services, bases: map[string]*url.URL{}, versions: map[string][]string{}}
}

// find chooses a version of a module and asks where it is. Errors complete the
// sentence "Module x: …".
func (r *registry) find(ctx context.Context, s source, allowed constraints) (version string, where source, err error) {
	base, err := r.base(ctx, s.Host)
	if err != nil {
		return "", where, err
	}
	prefix := base.JoinPath(s.Namespace, s.Name, s.System)
	texts, err := r.list(ctx, s, prefix)
	if err != nil {
		return "", where, err
	}
	if version, err = allowed.newest(texts); err != nil {
		return "", where, err
	}
	where, err = r.location(ctx, s, prefix.JoinPath(version, "download"))
	return version, where, err
}

// base asks a host where it has its module registry.
func (r *registry) base(ctx context.Context, host string) (*url.URL, error) {
	if base := r.bases[host]; base != nil {
		return base, nil
	}
	self := &url.URL{Scheme: "https", Host: host, Path: "/.well-known/terraform.json"}
	text := r.services.Overrides[host]["modules.v1"]
	if text == "" {
		resp, err := r.get(ctx, self.String(), r.services.Tokens[host])
		var status statusError
		if errors.As(err, &status) && status.code == http.StatusNotFound {
			return nil, fmt.Errorf("the host %s does not offer a module registry", host)
		}
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		var offered map[string]any
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(&offered); err != nil {
			return nil, fmt.Errorf("the host %s does not say what it offers: %w", host, err)
		}
		text, _ = offered["modules.v1"].(string)
		if text == "" {
			return nil, fmt.Errorf("the host %s does not offer a module registry", host)
		}
		self = resp.Request.URL
	}
	base, err := self.Parse(text)
	if err != nil || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("the host %s gives an invalid address for its module registry", host)
	}
	r.bases[host] = base
	return base, nil
}

// list returns the versions of a module.
func (r *registry) list(ctx context.Context, s source, prefix *url.URL) ([]string, error) {
	if known, ok := r.versions[s.Package]; ok {
		return known, nil
	}
	resp, err := r.get(ctx, prefix.JoinPath("versions").String(), r.services.Tokens[s.Host])
	var status statusError
	if errors.As(err, &status) {
		switch status.code {
		case http.StatusNotFound:
			return nil, fmt.Errorf("the registry at %s has no such module", s.Host)
		case http.StatusUnauthorized, http.StatusForbidden:
			return nil, fmt.Errorf("the registry at %s wants credentials that allow this. Set the environment variable TF_TOKEN_%s, or use \"tutti login %s\"", s.Host, tokenName(s.Host), s.Host)
		}
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var doc struct {
		Modules []struct {
			Versions []struct {
				Version string `json:"version"`
			} `json:"versions"`
		} `json:"modules"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(&doc); err != nil {
		return nil, fmt.Errorf("the registry at %s did not answer with a list of versions: %w", s.Host, err)
	}
	out := []string{}
	for _, m := range doc.Modules[:min(1, len(doc.Modules))] {
		for _, v := range m.Versions {
			out = append(out, v.Version)
		}
	}
	r.versions[s.Package] = out
	return out, nil
}

// tokenName is how an environment variable spells a host.
func tokenName(host string) string {
	return strings.NewReplacer("-", "__", ".", "_").Replace(host)
}

// location asks where the package of a version is.
func (r *registry) location(ctx context.Context, s source, download *url.URL) (source, error) {
	resp, err := r.get(ctx, download.String(), r.services.Tokens[s.Host])
	if err != nil {
		return source{}, err
	}
	defer resp.Body.Close()
	where := resp.Header.Get("X-Terraform-Get")
	if where == "" {
		var doc struct {
			Location string `json:"location"`
		}
		if json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(&doc) == nil {
			where = doc.Location
		}
	}
	if where == "" {
		return source{}, fmt.Errorf("the registry at %s does not say where to download it", s.Host)
	}
	return parseLocation(where, resp.Request.URL)
}
