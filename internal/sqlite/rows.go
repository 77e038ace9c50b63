package sqlite

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
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

// pastColumns are columns read from the history, where all are NULL for an
// object that was not there.
const pastColumns = `provider, coalesce(schema_version, 0), attributes, sealed, flatmap, sensitive, private, coalesce(private_sealed, 0), identity, coalesce(identity_version, 0), status, dependencies, coalesce(create_before_destroy, 0)`

// row is an instance as it lies in the database. Raw bytes are valid only until
// the next row.
type row struct {
	provider        sql.RawBytes
	schemaVersion   int64
	attributes      []byte
	sealed          []byte
	flatmap         []byte
	sensitive       sql.RawBytes
	private         []byte
	privateSealed   bool
	identity        []byte
	identityVersion int64
	status          sql.RawBytes
	dependencies    sql.RawBytes
	createBefore    bool
}

// into lists where to scan columns to, behind what comes first.
func (r *row) into(first ...any) []any {
	return append(first,
		&r.provider, &r.schemaVersion, &r.attributes, &r.sealed, &r.flatmap, &r.sensitive, &r.private, &r.privateSealed,
		&r.identity, &r.identityVersion, &r.status, &r.dependencies, &r.createBefore)
}

// encodeInstance returns the values of columns behind what comes first,
// sensitive values sealed.
func (s *Store) encodeInstance(inst *states.Instance, first ...any) ([]any, error) {
	attributes, sealed := []byte(inst.Attributes), []byte(nil)
	private, privateSealed := inst.Private, 0
	var sensitive, flatmap []byte
	var err error
	if inst.Flatmap != nil {
		if flatmap, err = json.Marshal(inst.Flatmap); err != nil {
			return nil, fmt.Errorf("cannot store %s: %w", inst.Object, err)
		}
	}
	if len(inst.SensitivePaths) > 0 {
		if sensitive, err = encodePaths(inst.SensitivePaths); err != nil {
			return nil, fmt.Errorf("cannot store %s: %w", inst.Object, err)
		}
		if s.hider != nil {
			if attributes, sealed, err = s.hider.Hide(inst.Attributes, inst.SensitivePaths); err != nil {
				return nil, fmt.Errorf("cannot seal the sensitive values of %s: %w", inst.Object, err)
			}
			// The provider keeps in private data what it likes, and paths do not
			// lead into the legacy form: both are sealed whole.
			privateSealed = 1
			for _, data := range []*[]byte{&private, &flatmap} {
				if len(*data) == 0 {
					continue
				}
				if *data, err = s.hider.Seal(*data); err != nil {
					return nil, fmt.Errorf("cannot seal the private data of %s: %w", inst.Object, err)
				}
			}
		}
	}
	createBefore := 0
	if inst.CreateBeforeDestroy {
		createBefore = 1
	}
	return append(first,
		inst.Provider.String(), inst.SchemaVersion, nonEmpty(attributes), nonEmpty(sealed), nonEmpty(flatmap), nonEmpty(sensitive),
		nonEmpty(private), privateSealed, nonEmpty(inst.Identity), inst.IdentitySchemaVersion, string(inst.Status), encodeDependencies(inst.Dependencies), createBefore), nil
}

// encodeDependencies writes one address a line; NULL where there are none.
func encodeDependencies(list []addrs.ConfigResource) any {
	if len(list) == 0 {
		return nil
	}
	var b strings.Builder
	for i, d := range list {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(d.String())
	}
	return b.String()
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
	// problems are values that could not be unsealed, in words.
	problems []string
}

func (d *decoder) problem(about string, err error) {
	d.problems = append(d.problems, about+": "+err.Error())
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
	provider, ok := d.providers[string(r.provider)]
	if !ok {
		var err error
		if provider, err = addrs.ParseProviderConfig(string(r.provider)); err != nil {
			return nil, bad(err)
		}
		d.providers[string(r.provider)] = provider
	}
	inst := &states.Instance{
		Object: obj, Provider: provider, SchemaVersion: r.schemaVersion, Attributes: r.attributes, Private: r.private,
		Identity: r.identity, IdentitySchemaVersion: r.identityVersion, CreateBeforeDestroy: r.createBefore, Version: version,
	}
	if len(r.status) > 0 {
		inst.Status = states.Status(r.status[0])
	}
	var err error
	if r.dependencies != nil {
		if inst.Dependencies, err = d.dependencies(r.dependencies); err != nil {
			return nil, bad(err)
		}
	}
	if r.sensitive != nil {
		if inst.SensitivePaths, err = decodePaths(r.sensitive); err != nil {
			return nil, bad(err)
		}
	}
	if r.privateSealed || r.sealed != nil {
		d.unseal(inst, r)
	}
	if r.flatmap != nil {
		if err := json.Unmarshal(r.flatmap, &inst.Flatmap); err != nil {
			return nil, bad(err)
		}
	}
	return inst, nil
}

// sealedPlace is what Sealer.Hide leaves where a sensitive value was.
var sealedPlace = []byte(`{"$sealed":true}`)

// unseal restores sensitive values. Where the key is lost they become null: the
// rest of the object is worth having.
func (d *decoder) unseal(inst *states.Instance, r *row) {
	var problem error
	if r.sealed != nil {
		inst.Attributes, problem = d.store.reveal(r.attributes, r.sealed)
		if problem != nil {
			inst.Attributes = bytes.ReplaceAll(r.attributes, sealedPlace, []byte("null"))
		}
	}
	if r.privateSealed {
		for _, data := range []*[]byte{&inst.Private, &r.flatmap} {
			if len(*data) == 0 {
				continue
			}
			plain, err := d.store.unseal(*data)
			if err != nil && problem == nil {
				problem = err
			}
			*data = plain
		}
	}
	if problem != nil {
		d.problem(inst.Object.String(), problem)
	}
}

var errNoKey = errors.New("its sensitive values are sealed, and there is no key")

func (s *Store) reveal(open json.RawMessage, sealed []byte) (json.RawMessage, error) {
	if s.hider == nil {
		return nil, errNoKey
	}
	return s.hider.Reveal(open, sealed)
}

func (s *Store) unseal(data []byte) ([]byte, error) {
	if s.hider == nil {
		return nil, errNoKey
	}
	return s.hider.Open(data)
}

func (d *decoder) dependencies(text []byte) ([]addrs.ConfigResource, error) {
	if list, ok := d.dependents[string(text)]; ok {
		return list, nil
	}
	key := string(text)
	list, err := parseDependencies(key)
	if err != nil {
		return nil, err
	}
	d.dependents[key] = list
	return list, nil
}

// parseDependencies reads what encodeDependencies wrote.
func parseDependencies(text string) ([]addrs.ConfigResource, error) {
	lines := strings.Split(text, "\n")
	list := make([]addrs.ConfigResource, len(lines))
	for i, line := range lines {
		var err error
		if list[i], err = addrs.ParseConfigResource(line); err != nil {
			return nil, err
		}
	}
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
