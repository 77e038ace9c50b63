package project

import (
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/diag"
)

// AsSent has diagnostics name files as whoever sent them knows them.
func (e *Ensemble) AsSent(diags diag.List) diag.List {
	out := slices.Clone(diags)
	for i := range out {
		for _, at := range []**hcl.Range{&out[i].Subject, &out[i].Context} {
			if *at != nil {
				rng := **at
				rng.Filename = e.SentName(rng.Filename)
				*at = &rng
			}
		}
	}
	return out
}

// SentName is what a file is called in the project that was sent.
func (e *Ensemble) SentName(name string) string {
	if rel, err := filepath.Rel(e.Root.Dir, name); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return name
}

// SentSources is the text that such diagnostics quote.
func (e *Ensemble) SentSources() map[string][]byte {
	out := map[string][]byte{}
	for name, src := range e.Root.Session.Quoted() {
		out[e.SentName(name)] = src
	}
	return out
}
