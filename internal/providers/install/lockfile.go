package install

import (
	"fmt"
	"os"
	"slices"
	"sort"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/zclconf/go-cty/cty"
)

// Lock is the version of a provider that was chosen, and the packages that are
// known to be it.
type Lock struct {
	Provider    addrs.Provider
	Version     string
	Constraints string
	Hashes      []string // h1: and zh:, sorted
}

// Locks are the contents of a dependency lock file.
type Locks struct {
	byProvider map[addrs.Provider]*Lock
}

// Lock returns the lock of a provider, or nil. The two public registry hosts
// name the same providers: where there is a lock for the other one only, it is
// that.
func (l *Locks) Lock(p addrs.Provider) *Lock {
	for _, host := range hosts(p) {
		p.Hostname = host
		if lock := l.byProvider[p]; lock != nil {
			return lock
		}
	}
	return nil
}

// Set replaces the lock of a provider.
func (l *Locks) Set(lock *Lock) { l.byProvider[lock.Provider] = lock }

// Remove forgets the lock of a provider, under that very address.
func (l *Locks) Remove(p addrs.Provider) { delete(l.byProvider, p) }

// Providers lists all locks by address.
func (l *Locks) Providers() []*Lock {
	out := make([]*Lock, 0, len(l.byProvider))
	for _, lock := range l.byProvider {
		out = append(out, lock)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Provider.String() < out[j].Provider.String() })
	return out
}

// ReadLockFile reads a dependency lock file; one that does not exist is empty.
func ReadLockFile(path string) (*Locks, diag.List) {
	l := &Locks{byProvider: map[addrs.Provider]*Lock{}}
	src, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return l, nil
	}
	if err != nil {
		return l, diag.Errorf("Cannot read dependency lock file", "%s.", err)
	}
	file, hclDiags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	if hclDiags.HasErrors() {
		return l, diag.FromHCL(hclDiags)
	}
	content, _, hclDiags := file.Body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "provider", LabelNames: []string{"source"}}}})
	diags := diag.FromHCL(hclDiags)
	for _, block := range content.Blocks {
		p, err := addrs.ParseProvider(block.Labels[0])
		if err != nil {
			diags = append(diags, diag.ErrorAt(block.LabelRanges[0], "Invalid provider source in lock file", "%s.", err)...)
			continue
		}
		lock := &Lock{Provider: p}
		if l.byProvider[p] != nil {
			diags = append(diags, diag.ErrorAt(block.DefRange, "Duplicate provider lock", "The lock file has more than one block for provider %s. This can happen when changes are merged: keep one of them, or remove all and run \"tutti init\".", p)...)
			continue
		}
		attrs, hclDiags := block.Body.JustAttributes()
		diags = append(diags, diag.FromHCL(hclDiags)...)
		for name, attr := range attrs {
			switch name {
			case "version":
				lock.Version = literal(attr)
			case "constraints":
				lock.Constraints = literal(attr)
			case "hashes":
				lock.Hashes = literalList(attr)
			}
		}
		if _, err := version.NewSemver(lock.Version); err != nil {
			diags = append(diags, diag.ErrorAt(block.DefRange, "Invalid provider lock", "The lock of provider %s has no valid version.", p)...)
			continue
		}
		l.Set(lock)
	}
	return l, diags
}

const lockHeader = "# This file is maintained automatically by \"tutti init\".\n# Manual edits may be lost in future updates.\n"

// Encode writes the locks in the form of the lock file.
func (l *Locks) Encode() []byte {
	file := hclwrite.NewEmptyFile()
	file.Body().AppendUnstructuredTokens(hclwrite.Tokens{{Type: hclsyntax.TokenComment, Bytes: []byte(lockHeader)}})
	for _, lock := range l.Providers() {
		file.Body().AppendNewline()
		body := file.Body().AppendNewBlock("provider", []string{lock.Provider.String()}).Body()
		body.SetAttributeValue("version", cty.StringVal(lock.Version))
		if lock.Constraints != "" {
			body.SetAttributeValue("constraints", cty.StringVal(lock.Constraints))
		}
		if len(lock.Hashes) > 0 {
			hashes := slices.Clone(lock.Hashes)
			sort.Strings(hashes)
			hashes = slices.Compact(hashes)
			tokens := hclwrite.Tokens{{Type: hclsyntax.TokenOBrack, Bytes: []byte("[")}, {Type: hclsyntax.TokenNewline, Bytes: []byte("\n")}}
			for _, hash := range hashes {
				tokens = append(tokens, hclwrite.TokensForValue(cty.StringVal(hash))...)
				tokens = append(tokens, &hclwrite.Token{Type: hclsyntax.TokenComma, Bytes: []byte(",")}, &hclwrite.Token{Type: hclsyntax.TokenNewline, Bytes: []byte("\n")})
			}
			tokens = append(tokens, &hclwrite.Token{Type: hclsyntax.TokenCBrack, Bytes: []byte("]")})
			body.SetAttributeRaw("hashes", tokens)
		}
	}
	return hclwrite.Format(file.Bytes())
}

// Write replaces the lock file, where that changes it.
func (l *Locks) Write(path string) (changed bool, err error) {
	data := l.Encode()
	if before, err := os.ReadFile(path); err == nil && string(before) == string(data) {
		return false, nil
	}
	if err := files.Replace(path, data, 0o644); err != nil {
		return false, fmt.Errorf("cannot write the lock file: %w", err)
	}
	return true, nil
}

// equal reports whether two files say the same.
func (l *Locks) equal(o *Locks) bool {
	return string(l.Encode()) == string(o.Encode())
}

// sameVersions reports whether two files choose the same versions of the same
// providers.
func (l *Locks) sameVersions(o *Locks) bool {
	if len(l.byProvider) != len(o.byProvider) {
		return false
	}
	for p, lock := range l.byProvider {
		other := o.byProvider[p]
		if other == nil || other.Version != lock.Version {
			return false
		}
	}
	return true
}

// literal is the text of an attribute, or "" where it is anything else.
func literal(attr *hcl.Attribute) string {
	v, diags := attr.Expr.Value(nil)
	if diags.HasErrors() || v.Type() != cty.String || v.IsNull() || !v.IsKnown() {
		return ""
	}
	return v.AsString()
}

// literalList are the texts in a list.
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
