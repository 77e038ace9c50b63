package stacks

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// Plan is the plans of stacks as one thing that is reviewed and applied: with
// the project's files and the values of its variables, from which the inputs are
// evaluated again when the outputs they come from are there.
type Plan struct {
	Digest      string // of everything below; set by Encode and DecodePlan
	Environment string
	Kind        string // of run: apply, destroy, refresh or rollback
	Created     time.Time
	Program     string
	// Files are the project's files, by name relative to the project.
	Files map[string][]byte
	// Variables are the values of the project's variables, without those of
	// Ephemeral ones: they are given again.
	Variables map[string]cty.Value
	Ephemeral []string
	// Outputs are the names of the outputs that stacks declare, as far as others
	// may refer to them.
	Outputs map[string][]string
	// Moves are carried out before anything else.
	Moves  []states.Transfer
	Stacks []StackPlan // in the order they are applied
}

// StackPlan is one stack's part.
type StackPlan struct {
	Name    string
	Needs   []string // stacks of the plan that come first
	Own     []string // variables whose values do not come from the project
	Digest  string   // of the stack's own plan
	Encoded []byte   // as [plans.Encode] wrote it
}

// Stack returns the part of a stack, or nil.
func (p *Plan) Stack(name string) *StackPlan {
	for i := range p.Stacks {
		if p.Stacks[i].Name == name {
			return &p.Stacks[i]
		}
	}
	return nil
}

// Project reads the files of the project as they were, for a directory.
func (p *Plan) Project(dir string) (*projects.Project, diag.List) {
	files := make(map[string][]byte, len(p.Files))
	for name, src := range p.Files {
		files[filepath.Join(dir, name)] = src
	}
	return projects.Parse(dir, files)
}

// SetProject takes the files from a project and the values of its variables.
func (p *Plan) SetProject(project *projects.Project, variables map[string]cty.Value) {
	p.Files, p.Variables, p.Ephemeral = map[string][]byte{}, map[string]cty.Value{}, nil
	for name, src := range project.Files {
		if rel, err := filepath.Rel(project.Dir, name); err == nil && strings.HasSuffix(name, projects.Suffix) {
			p.Files[rel] = src
		}
	}
	for _, name := range sortedKeys(variables) {
		if marks.Contains(variables[name], marks.Ephemeral) {
			p.Ephemeral = append(p.Ephemeral, name)
			continue
		}
		p.Variables[name] = variables[name]
	}
}

// planMagic opens the plan of several stacks; the bytes behind it are the
// version of the format and whether the manifest is sealed.
const (
	planMagic   = "TUTTI PROJ\n"
	planVersion = 1
	planHeader  = len(planMagic) + 2 + sha256.Size
)

// manifest is what the digest is of. Plans are in it by their own digests.
type manifest struct {
	Environment string
	Kind        string
	Created     time.Time
	Program     string
	Files       map[string][]byte
	Variables   []byte
	Ephemeral   []string
	Outputs     map[string][]string
	Moves       []move
	Stacks      []manifestStack
}

type manifestStack struct {
	Name   string
	Needs  []string
	Own    []string
	Digest string
	Size   int
}

type move struct {
	FromStack, From, ToStack, To, Deposed string
	Version                               int64
}

// IsPlan reports whether data looks like something [Plan.Encode] wrote.
func IsPlan(data []byte) bool { return bytes.HasPrefix(data, []byte(planMagic)) }

// Encode writes the plan and sets its digest. The parts are sealed already.
func (p *Plan) Encode(sealer plans.Sealer) ([]byte, error) {
	variables, err := plans.EncodeValues(p.Variables, nil)
	if err != nil {
		return nil, err
	}
	m := manifest{
		Environment: p.Environment, Kind: p.Kind, Created: p.Created, Program: p.Program,
		Files: p.Files, Variables: variables, Ephemeral: p.Ephemeral, Outputs: p.Outputs,
	}
	for _, t := range p.Moves {
		m.Moves = append(m.Moves, move{t.From.Stack, t.Object.Instance.String(), t.To.Stack, t.As.Instance.String(), string(t.Object.Deposed), t.Version})
	}
	for _, s := range p.Stacks {
		m.Stacks = append(m.Stacks, manifestStack{s.Name, s.Needs, s.Own, s.Digest, len(s.Encoded)})
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("cannot encode plan: %w", err)
	}
	sum := sha256.Sum256(text)
	p.Digest = hex.EncodeToString(sum[:])
	sealed := byte(0)
	if sealer != nil {
		if text, err = sealer.Seal(text); err != nil {
			return nil, fmt.Errorf("cannot encrypt plan: %w", err)
		}
		sealed = 1
	}
	out := append([]byte(planMagic), planVersion, sealed)
	out = append(out, sum[:]...)
	out = binary.BigEndian.AppendUint64(out, uint64(len(text)))
	out = append(out, text...)
	for _, s := range p.Stacks {
		out = append(out, s.Encoded...)
	}
	return out, nil
}

// DecodePlan reads what [Plan.Encode] wrote. Its errors are those of
// [plans.Decode]. The parts are held against their digests when they are decoded.
func DecodePlan(data []byte, sealer plans.Sealer) (*Plan, error) {
	if len(data) < planHeader+8 || !IsPlan(data) {
		return nil, plans.ErrNotPlan
	}
	if version := data[len(planMagic)]; version != planVersion {
		return nil, fmt.Errorf("cannot read plan: it has format version %d, this program reads version %d; make the plan anew", version, planVersion)
	}
	sealed, want := data[len(planMagic)+1], data[len(planMagic)+2:planHeader]
	size := binary.BigEndian.Uint64(data[planHeader:])
	rest := data[planHeader+8:]
	if size > uint64(len(rest)) || sealed > 1 {
		return nil, plans.ErrTampered
	}
	text, rest := rest[:size], rest[size:]
	if sealed == 1 {
		if sealer == nil {
			return nil, plans.ErrSealed
		}
		var err error
		if text, err = sealer.Open(text); err != nil {
			return nil, fmt.Errorf("%w: %w", plans.ErrSealed, err)
		}
	}
	if sum := sha256.Sum256(text); !bytes.Equal(sum[:], want) {
		return nil, plans.ErrTampered
	}
	p := &Plan{Digest: hex.EncodeToString(want)}
	return p, p.read(text, rest)
}

// read takes the plan from its manifest and the parts behind it.
func (p *Plan) read(text, rest []byte) error {
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("cannot read plan: %w", err)
	}
	var err error
	if p.Variables, err = plans.DecodeValues(m.Variables, nil); err != nil {
		return err
	}
	p.Environment, p.Kind, p.Created, p.Program = m.Environment, m.Kind, m.Created, m.Program
	p.Files, p.Ephemeral, p.Outputs = m.Files, m.Ephemeral, m.Outputs
	for _, mv := range m.Moves {
		from, fromErr := addrs.ParseResourceInstance(mv.From)
		to, toErr := addrs.ParseResourceInstance(mv.To)
		if err := errors.Join(fromErr, toErr); err != nil {
			return fmt.Errorf("cannot read plan: %w", err)
		}
		deposed := addrs.DeposedKey(mv.Deposed)
		p.Moves = append(p.Moves, states.Transfer{
			From: states.Key{Stack: mv.FromStack, Environment: m.Environment}, Object: addrs.Object{Instance: from, Deposed: deposed},
			To: states.Key{Stack: mv.ToStack, Environment: m.Environment}, As: addrs.Object{Instance: to, Deposed: deposed},
			Version: mv.Version,
		})
	}
	for _, s := range m.Stacks {
		if s.Size < 0 || s.Size > len(rest) {
			return plans.ErrTampered
		}
		p.Stacks = append(p.Stacks, StackPlan{Name: s.Name, Needs: s.Needs, Own: s.Own, Digest: s.Digest, Encoded: rest[:s.Size:s.Size]})
		rest = rest[s.Size:]
	}
	if len(rest) > 0 {
		return plans.ErrTampered
	}
	return nil
}

// Decode reads a stack's own plan and holds it against its digest.
func (s *StackPlan) Decode(sealer plans.Sealer) (*plans.Plan, error) {
	p, err := plans.Decode(s.Encoded, sealer)
	if err == nil && p.Digest != s.Digest {
		err = plans.ErrTampered
	}
	return p, err
}
