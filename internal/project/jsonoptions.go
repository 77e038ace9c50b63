package project

import (
	"context"
	"encoding/json"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// JSONOptions are what JSON documents of plans and states are made with.
func (p *Directory) JSONOptions(ctx context.Context) jsonplan.Options {
	return jsonplan.Options{Schemas: p.Schemas(ctx), Version: TerraformVersion}
}

// StoredChecks reads the outcomes of checks that the state keeps.
func StoredChecks(raw json.RawMessage) []plans.CheckResult {
	if len(raw) == 0 {
		return nil
	}
	list, err := runs.ReadCheckResults(raw)
	if err != nil {
		return nil
	}
	return list
}

// Schemas finds schemas for showing values; nil where a provider is missing.
func (p *Directory) Schemas(ctx context.Context) func(addrs.Provider) *providers.Schemas {
	factory := p.Factory()
	known := map[addrs.Provider]*providers.Schemas{}
	return func(addr addrs.Provider) *providers.Schemas {
		if s, ok := known[addr]; ok {
			return s
		}
		s, diags := factory.Schemas(ctx, addr)
		if diags.HasErrors() {
			s = nil
		}
		known[addr] = s
		return s
	}
}

// OutputValue decodes a stored output.
func OutputValue(o *states.Output) (cty.Value, error) {
	ty, err := ctyjson.UnmarshalType(o.Type)
	if err != nil {
		return cty.DynamicVal, err
	}
	return ctyjson.Unmarshal(o.Value, ty)
}

// ObjectID is the id attribute of an object; empty where it has none.
func ObjectID(inst *states.Instance) string {
	var doc struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(inst.Attributes, &doc) != nil {
		return ""
	}
	return doc.ID
}
