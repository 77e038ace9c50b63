package sqlite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// columns are what instances and history have in common, in order.
const columns = `provider, schema_version, attributes, sealed, flatmap, sensitive, private, private_sealed, identity, identity_version, status, dependencies, create_before_destroy`

// placeholders stand for columns in statements that write them.
const placeholders = `?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?`

// row is an instance as it lies in the database. Fields that may be NULL in the
// history are pointers or slices.
type row struct {
	provider        *string
	schemaVersion   *int64
	attributes      []byte
	sealed          []byte
	flatmap         []byte
	sensitive       []byte
	private         []byte
	privateSealed   *int64
	identity        []byte
	identityVersion *int64
	status          *string
	dependencies    *string
	createBefore    *int64
}

// into lists where to scan columns to.
func (r *row) into() []any {
	return []any{
		&r.provider, &r.schemaVersion, &r.attributes, &r.sealed, &r.flatmap, &r.sensitive, &r.private, &r.privateSealed,
		&r.identity, &r.identityVersion, &r.status, &r.dependencies, &r.createBefore,
	}
}

// encodeInstance returns the values of columns, sensitive values sealed.
func (s *Store) encodeInstance(inst *states.Instance) ([]any, error) {
	attributes, sealed := []byte(inst.Attributes), []byte(nil)
	private, privateSealed := inst.Private, 0
	var sensitive []byte
	if len(inst.SensitivePaths) > 0 {
		var err error
		if sensitive, err = encodePaths(inst.SensitivePaths); err != nil {
			return nil, err
		}
		if s.hider != nil {
			if attributes, sealed, err = s.hider.Hide(inst.Attributes, inst.SensitivePaths); err != nil {
				return nil, fmt.Errorf("cannot seal the sensitive values of %s: %w", inst.Object, err)
			}
			if len(private) > 0 {
				// The provider keeps there what it likes.
				if private, err = s.hider.Seal(private); err != nil {
					return nil, fmt.Errorf("cannot seal the private data of %s: %w", inst.Object, err)
				}
				privateSealed = 1
			}
		}
	}
	var flatmap []byte
	if inst.Flatmap != nil {
		flatmap, _ = json.Marshal(inst.Flatmap)
	}
	var dependencies any
	if len(inst.Dependencies) > 0 {
		var b strings.Builder
		for i, d := range inst.Dependencies {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(d.String())
		}
		dependencies = b.String()
	}
	createBefore := 0
	if inst.CreateBeforeDestroy {
		createBefore = 1
	}
	return []any{
		inst.Provider.String(), inst.SchemaVersion, nonEmpty(attributes), nonEmpty(sealed), nonEmpty(flatmap), nonEmpty(sensitive),
		nonEmpty(private), privateSealed, nonEmpty(inst.Identity), inst.IdentitySchemaVersion, string(inst.Status), dependencies, createBefore,
	}, nil
}

// nonEmpty turns an empty slice into NULL.
func nonEmpty(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// decoder turns rows into instances. It remembers what repeats.
type decoder struct {
	store      *Store
	providers  map[string]addrs.ProviderConfig
	dependents map[string][]addrs.ConfigResource
	// problems are values that could not be unsealed.
	problems []error
}

func (s *Store) newDecoder() *decoder {
	return &decoder{store: s, providers: map[string]addrs.ProviderConfig{}, dependents: map[string][]addrs.ConfigResource{}}
}

// instance decodes a row; nil where it stands for nothing (in the history).
func (d *decoder) instance(obj addrs.Object, version int64, r *row) (*states.Instance, error) {
	if r.provider == nil {
		return nil, nil
	}
	bad := func(err error) error { return fmt.Errorf("the stored row of %s is damaged: %w", obj, err) }
	provider, ok := d.providers[*r.provider]
	if !ok {
		var err error
		if provider, err = addrs.ParseProviderConfig(*r.provider); err != nil {
			return nil, bad(err)
		}
		d.providers[*r.provider] = provider
	}
	inst := &states.Instance{
		Object: obj, Provider: provider, SchemaVersion: *r.schemaVersion, Attributes: r.attributes, Private: r.private,
		Identity: r.identity, IdentitySchemaVersion: *r.identityVersion, CreateBeforeDestroy: *r.createBefore != 0, Version: version,
	}
	if *r.status != "" {
		inst.Status = states.Status((*r.status)[0])
	}
	var err error
	if r.dependencies != nil {
		if inst.Dependencies, err = d.dependencies(*r.dependencies); err != nil {
			return nil, bad(err)
		}
	}
	if r.flatmap != nil {
		if err := json.Unmarshal(r.flatmap, &inst.Flatmap); err != nil {
			return nil, bad(err)
		}
	}
	if r.sensitive != nil {
		if inst.SensitivePaths, err = decodePaths(r.sensitive); err != nil {
			return nil, bad(err)
		}
	}
	d.unseal(inst, r)
	return inst, nil
}

// unseal restores sensitive values. Where the key is lost they become null: the
// rest of the object is worth having.
func (d *decoder) unseal(inst *states.Instance, r *row) {
	if r.sealed == nil && *r.privateSealed == 0 {
		return
	}
	fail := func(err error) { d.problems = append(d.problems, fmt.Errorf("%s: %w", inst.Object, err)) }
	if d.store.hider == nil {
		fail(fmt.Errorf("its sensitive values are sealed, and there is no key"))
	}
	if r.sealed != nil {
		if d.store.hider != nil {
			plain, err := d.store.hider.Reveal(r.attributes, r.sealed)
			if err == nil {
				inst.Attributes = plain
			} else {
				fail(err)
				inst.Attributes = bytes.ReplaceAll(r.attributes, []byte(`{"$sealed":true}`), []byte("null"))
			}
		}
	}
	if *r.privateSealed != 0 {
		inst.Private = nil
		if d.store.hider != nil {
			if plain, err := d.store.hider.Open(r.private); err == nil {
				inst.Private = plain
			} else if r.sealed == nil {
				fail(err)
			}
		}
	}
}

func (d *decoder) dependencies(text string) ([]addrs.ConfigResource, error) {
	if list, ok := d.dependents[text]; ok {
		return list, nil
	}
	lines := strings.Split(text, "\n")
	list := make([]addrs.ConfigResource, len(lines))
	for i, line := range lines {
		var err error
		if list[i], err = addrs.ParseConfigResource(line); err != nil {
			return nil, err
		}
	}
	d.dependents[text] = list
	return list, nil
}

// encodePaths writes paths as lists of steps: a name for an attribute, an
// object with a key and its type for an index.
func encodePaths(paths []cty.Path) ([]byte, error) {
	out := make([][]any, len(paths))
	for i, path := range paths {
		for _, step := range path {
			switch step := step.(type) {
			case cty.GetAttrStep:
				out[i] = append(out[i], step.Name)
			case cty.IndexStep:
				key, err := ctyjson.Marshal(step.Key, cty.DynamicPseudoType)
				if err != nil {
					return nil, fmt.Errorf("cannot store a path: %w", err)
				}
				out[i] = append(out[i], json.RawMessage(key))
			}
		}
	}
	return json.Marshal(out)
}

func decodePaths(data []byte) ([]cty.Path, error) {
	var raw [][]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	out := make([]cty.Path, len(raw))
	for i, steps := range raw {
		for _, step := range steps {
			var name string
			if json.Unmarshal(step, &name) == nil {
				out[i] = out[i].GetAttr(name)
				continue
			}
			key, err := ctyjson.Unmarshal(step, cty.DynamicPseudoType)
			if err != nil {
				return nil, err
			}
			out[i] = out[i].Index(key)
		}
	}
	return out, nil
}
