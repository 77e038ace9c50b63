package cli

import (
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/diag"
)

// asSent has diagnostics name files as whoever sent them knows them.
func (e *Ensemble) asSent(diags diag.List) diag.List {
	out := slices.Clone(diags)
	for i := range out {
		for _, at := range []**hcl.Range{&out[i].Subject, &out[i].Context} {
			if *at != nil {
				rng := **at
				rng.Filename = e.sentName(rng.Filename)
				*at = &rng
			}
		}
	}
	return out
}

// sentName is what a file is called in the project that was sent.
func (e *Ensemble) sentName(name string) string {
	if rel, err := filepath.Rel(e.root.dir, name); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return name
}

// sentSources is the text that such diagnostics quote.
func (e *Ensemble) sentSources() map[string][]byte {
	out := map[string][]byte{}
	for name, src := range e.root.session.quoted() {
		out[e.sentName(name)] = src
	}
	return out
}
