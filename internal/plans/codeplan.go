package plans

import (
	"encoding/json"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// planFields codes all of a plan but its digest. It is the layout of the
// format: whoever adds a field to [Plan] adds it here and increments
// formatVersion; a test holds a plan with every field set against it.
func planFields(c *coder, p *Plan) {
	byteOf(c, &p.Mode)
	c.time(&p.CreatedAt)
	c.str(&p.Program)
	c.str(&p.StateKey.Stack)
	c.str(&p.StateKey.Environment)
	c.str(&p.Lineage)
	c.uint(&p.Serial)
	stringMap(c, &p.Variables, variableFields)
	listOf(c, &p.Targets, targetFields)
	listOf(c, &p.Excludes, targetFields)
	listOf(c, &p.ForceReplace, instanceAddr)
	stateFields(c, &p.Prior)
	listOf(c, &p.Adjust, rowFields)
	mapOf(c, &p.Moves, addrs.ResourceInstance.Less, instanceAddr, instanceAddr)
	pointersOf(c, &p.Changes, changeFields)
	pointersOf(c, &p.Drift, changeFields)
	pointersOf(c, &p.Outputs, outputFields)
	listOf(c, &p.Relevant, func(c *coder, r *RelevantAttribute) {
		instanceAddr(c, &r.Resource)
		c.path(&r.Attribute)
	})
	listOf(c, &p.Checks, checkFields)
	listOf(c, &p.Operations, func(c *coder, o *Operation) {
		byteOf(c, &o.Kind)
		c.int(&o.Change)
		listOf(c, &o.Needs, (*coder).int)
	})
	c.bool(&p.Errored)
	mapOf(c, &p.Providers, lessProvider, providerAddr, func(c *coder, l *ProviderLock) {
		c.str(&l.Version)
		c.str(&l.Digest)
	})
	stringMap(c, &p.Files, (*coder).blob)
	c.blob(&p.ModulesManifest)
	c.str(&p.RootDir)
}

func variableFields(c *coder, v *Variable) {
	c.anyValue(&v.Value)
	c.bool(&v.Sensitive)
	c.bool(&v.Ephemeral)
	c.bool(&v.Given)
}

func changeFields(c *coder, ch *Change) {
	objectAddr(c, &ch.Object)
	moved := ch.PrevAddress != (addrs.ResourceInstance{})
	c.bool(&moved)
	if moved {
		instanceAddr(c, &ch.PrevAddress)
	}
	providerConfigAddr(c, &ch.Provider)
	byteOf(c, &ch.Action)
	strOf(c, &ch.Reason)
	declared := c.typeRef(&ch.Type)
	c.int64(&ch.SchemaVersion)
	c.value(&ch.Before, declared)
	c.value(&ch.After, declared)
	listOf(c, &ch.RequiredReplace, (*coder).path)
	c.blob(&ch.Private)
	c.anyValue(&ch.BeforeIdentity)
	c.anyValue(&ch.AfterIdentity)
	c.bool(&ch.CreateBeforeDestroy)
	listOf(c, &ch.Dependencies, configResourceAddr)
	listOf(c, &ch.PriorDependencies, configResourceAddr)
	importing := ch.Importing != nil
	c.bool(&importing)
	if importing {
		if !c.encoding {
			ch.Importing = &Importing{}
		}
		c.text(&ch.Importing.ID)
		c.anyValue(&ch.Importing.Identity)
		c.bool(&ch.Importing.Unknown)
	}
	c.text(&ch.GeneratedConfig)
	c.bool(&ch.ConfigKnown)
	strOf(c, &ch.DestroyLegDeposed)
	c.value(&ch.Config, declared)
	c.str(&ch.Deferred)
}

// typeRef codes a type, which may be absent.
func (c *coder) typeRef(ty *cty.Type) *typeInfo {
	present := *ty != cty.NilType
	c.bool(&present)
	if !present || c.err != nil {
		return c.types.types[idDynamic]
	}
	if !c.encoding {
		info := c.knownType()
		if info != nil {
			*ty = info.typ
		}
		return info
	}
	id := c.types.id(*ty)
	if id < 0 {
		c.fail("values of type %s cannot be stored", ty.FriendlyName())
		return c.types.types[idDynamic]
	}
	u := uint64(id)
	c.uint(&u)
	return c.types.types[id]
}

func outputFields(c *coder, o *OutputChange) {
	c.str(&o.Name)
	byteOf(c, &o.Action)
	c.anyValue(&o.Before)
	c.anyValue(&o.After)
	c.bool(&o.Sensitive)
	c.text(&o.Description)
}

func checkFields(c *coder, r *CheckResult) {
	c.str(&r.Kind)
	strOf(c, &r.Module)
	c.str(&r.Name)
	strOf(c, &r.Status)
	listOf(c, &r.Instances, func(c *coder, i *CheckInstance) {
		strOf(c, &i.Module)
		instanceKey(c, &i.Key)
		strOf(c, &i.Status)
		listOf(c, &i.Problems, (*coder).text)
	})
}

func stateFields(c *coder, s **states.State) {
	present := *s != nil
	c.bool(&present)
	if !present {
		return
	}
	if !c.encoding {
		*s = states.New()
	}
	st := *s
	c.str(&st.Lineage)
	c.uint(&st.Serial)
	c.str(&st.TerraformVersion)
	var rows []*states.Instance
	if c.encoding {
		rows = st.Sorted()
	}
	listOf(c, &rows, storedInstance)
	if !c.encoding {
		for _, inst := range rows {
			if inst != nil {
				st.Instances[inst.Object] = inst
			}
		}
	}
	outputs := st.Outputs
	stringMap(c, &outputs, func(c *coder, o **states.Output) {
		if !c.encoding {
			*o = &states.Output{}
		}
		rawJSON(c, &(*o).Value)
		rawJSON(c, &(*o).Type)
		c.bool(&(*o).Sensitive)
	})
	if outputs != nil {
		st.Outputs = outputs
	}
	rawJSON(c, &st.CheckResults)
}

func rawJSON(c *coder, raw *json.RawMessage) {
	b := []byte(*raw)
	c.blob(&b)
	*raw = b
}

func rowFields(c *coder, ch *states.Change) {
	objectAddr(c, &ch.Object)
	storedInstance(c, &ch.Before)
	storedInstance(c, &ch.After)
}

// storedInstance codes an object of the state. The prior state and the rows to
// adjust share objects; each is written once. 0 is nil, 1 a new object.
func storedInstance(c *coder, inst **states.Instance) {
	const null, isNew, first = 0, 1, 2
	var ref uint64
	if c.encoding {
		if *inst != nil {
			ref = isNew
			if id, seen := c.instanceIDs[*inst]; seen {
				ref = id
			}
		}
		c.uint(&ref)
		if ref != isNew {
			return
		}
		c.instanceIDs[*inst] = uint64(len(c.instanceIDs) + first)
		instanceFields(c, *inst)
		return
	}
	c.uint(&ref)
	switch {
	case ref == null:
		*inst = nil
	case ref == isNew:
		*inst = &states.Instance{}
		instanceFields(c, *inst)
		c.instances = append(c.instances, *inst)
	case ref-first < uint64(len(c.instances)):
		*inst = c.instances[ref-first]
	default:
		c.fail("unknown object")
	}
}

func instanceFields(c *coder, i *states.Instance) {
	objectAddr(c, &i.Object)
	providerConfigAddr(c, &i.Provider)
	c.int64(&i.SchemaVersion)
	rawJSON(c, &i.Attributes)
	stringMap(c, &i.Flatmap, (*coder).text)
	listOf(c, &i.SensitivePaths, (*coder).path)
	c.blob(&i.Private)
	rawJSON(c, &i.Identity)
	c.int64(&i.IdentitySchemaVersion)
	byteOf(c, &i.Status)
	listOf(c, &i.Dependencies, configResourceAddr)
	c.bool(&i.CreateBeforeDestroy)
	c.int64(&i.Version)
}

func resourceAddr(c *coder, r *addrs.Resource) {
	byteOf(c, &r.Mode)
	c.str(&r.Type)
	c.str(&r.Name)
}

func instanceKey(c *coder, k *addrs.InstanceKey) {
	byteOf(c, &k.Kind)
	switch k.Kind {
	case addrs.KeyInt:
		c.int(&k.Int)
	case addrs.KeyString:
		c.str(&k.Name)
	}
}

func instanceAddr(c *coder, r *addrs.ResourceInstance) {
	strOf(c, &r.Module)
	resourceAddr(c, &r.Resource)
	instanceKey(c, &r.Key)
}

func objectAddr(c *coder, o *addrs.Object) {
	instanceAddr(c, &o.Instance)
	strOf(c, &o.Deposed)
}

func configResourceAddr(c *coder, r *addrs.ConfigResource) {
	strOf(c, &r.Module)
	resourceAddr(c, &r.Resource)
}

func targetFields(c *coder, t *addrs.Target) {
	strOf(c, &t.Module)
	resourceAddr(c, &t.Resource)
	instanceKey(c, &t.Key)
}

func providerAddr(c *coder, p *addrs.Provider) {
	c.str(&p.Hostname)
	c.str(&p.Namespace)
	c.str(&p.Type)
}

func lessProvider(a, b addrs.Provider) bool { return a.String() < b.String() }

func providerConfigAddr(c *coder, p *addrs.ProviderConfig) {
	strOf(c, &p.Module)
	providerAddr(c, &p.Provider)
	c.str(&p.Alias)
}
