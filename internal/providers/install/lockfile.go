package install

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
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
	byProvider map[addrs.Provider]*Lock // by canonical address
}

// Lock returns the lock of a provider, or nil. The two public registry hosts
// name the same providers.
func (l *Locks) Lock(p addrs.Provider) *Lock { return l.byProvider[p.Canonical()] }

// Set replaces the lock of a provider.
func (l *Locks) Set(lock *Lock) { l.byProvider[lock.Provider.Canonical()] = lock }

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
		if lock.Version == "" {
			diags = append(diags, diag.ErrorAt(block.DefRange, "Incomplete lock", "The lock of provider %s has no version.", p.ForDisplay())...)
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
	tmp, err := os.CreateTemp(filepath.Dir(path), ".terraform.lock.*")
	if err != nil {
		return false, fmt.Errorf("cannot write the lock file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return false, fmt.Errorf("cannot write the lock file: %w", err)
	}
	return true, nil
}

// normalConstraints joins constraints the way the lock file has them.
func normalConstraints(list []string) string {
	var parts []string
	for _, text := range list {
		for _, part := range strings.Split(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				for _, op := range []string{"~>", ">=", "<=", "!=", ">", "<", "="} {
					if rest, ok := strings.CutPrefix(part, op); ok {
						part = op + " " + strings.TrimSpace(rest)
						break
					}
				}
				parts = append(parts, strings.TrimPrefix(part, "= "))
			}
		}
	}
	sort.Strings(parts)
	return strings.Join(slices.Compact(parts), ", ")
}
