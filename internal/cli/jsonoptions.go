package cli

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

func (p *Directory) jsonOptions(ctx context.Context) jsonplan.Options {
	return jsonplan.Options{Schemas: p.schemas(ctx), Version: terraformVersion}
}

// storedChecks reads the outcomes of checks that the state keeps.
func storedChecks(raw json.RawMessage) []plans.CheckResult {
	if len(raw) == 0 {
		return nil
	}
	list, err := runs.ReadCheckResults(raw)
	if err != nil {
		return nil
	}
	return list
}

// schemas finds schemas for showing values; nil where a provider is missing.
func (p *Directory) schemas(ctx context.Context) func(addrs.Provider) *providers.Schemas {
	factory := p.factory()
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

// outputValue decodes a stored output.
func outputValue(o *states.Output) (cty.Value, error) {
	ty, err := ctyjson.UnmarshalType(o.Type)
	if err != nil {
		return cty.DynamicVal, err
	}
	return ctyjson.Unmarshal(o.Value, ty)
}

// objectID is the id attribute of an object; empty where it has none.
func objectID(inst *states.Instance) string {
	var doc struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(inst.Attributes, &doc) != nil {
		return ""
	}
	return doc.ID
}
