package jsonplan

import (
	"bytes"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonvalue"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// ActionInvocation is an action of a provider that is to be carried out.
type ActionInvocation struct {
	Type     string
	Name     string // who asks for it
	Provider addrs.Provider
	Schema   providers.Schema
	Config   cty.Value // marked where sensitive
}

// Action returns the JSON form of a plan that does nothing but have a provider
// carry out an action, as one of "terraform apply -invoke" has it since Terraform
// 1.14 (github.com/hashicorp/terraform-json, type ActionInvocation).
func Action(a ActionInvocation, prior *states.State, cfg *configs.Config, opts Options) ([]byte, error) {
	var b bytes.Buffer
	e := &encoder{Writer: jsonvalue.NewWriter(&b), opts: opts}
	e.ObjectStart()
	e.StringMember("format_version", PlanFormat)
	e.OptionalString("terraform_version", opts.Version)
	p := &plans.Plan{Prior: prior}
	e.plannedValues(p, nil)
	e.Key("resource_changes")
	e.ArrayStart()
	e.ArrayEnd()
	e.Key("action_invocations")
	e.ArrayStart()
	e.ObjectStart()
	e.StringMember("address", "action."+a.Type+"."+a.Name)
	e.StringMember("type", a.Type)
	e.StringMember("name", a.Name)
	e.Key("config_values")
	e.Value(a.Config)
	e.Key("config_sensitive")
	e.Sensitive(a.Config, jsonvalue.BlockShape(a.Schema.Block))
	e.StringMember("provider_name", a.Provider.String())
	e.Key("invoke_action_trigger")
	e.ObjectStart()
	e.ObjectEnd()
	e.ObjectEnd()
	e.ArrayEnd()
	e.priorState(p, cfg)
	if cfg != nil {
		e.Key("configuration")
		e.configuration(cfg)
	}
	e.BoolMember("errored", false)
	e.ObjectEnd()
	e.Newline()
	err := e.Flush()
	return b.Bytes(), err
}
