package engine

import (
	"context"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine/internal/provision"
	"github.com/tutti-dev/tutti/internal/lang"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// provisionCreated runs the provisioners of a new object. A failure taints it.
func (a *Apply) provisionCreated(ctx context.Context, o *operand, out *Outcome) {
	self, _ := o.rs.get(o.rep.key)
	for _, p := range o.rs.config.Provisioners {
		if p.OnDestroy {
			continue
		}
		diags := a.provision(ctx, o.rs.scope, p, o.rs.config.Connection, o.rep, self, o.c.Object)
		out.Diags = append(out.Diags, diags...)
		if diags.HasErrors() {
			for i := range out.Rows {
				if out.Rows[i].Object == (addrs.Object{Instance: o.c.Object.Instance}) && out.Rows[i].After != nil {
					out.Rows[i].After.Status = states.Tainted
				}
			}
			return
		}
	}
}

// provisionDestroy runs the destroy-time provisioners of an object, from its
// resource block or from the removed block that replaced it.
func (a *Apply) provisionDestroy(ctx context.Context, c *plans.Change, prior *object) diag.List {
	addr := c.Object.Instance
	s := a.ev.scopeAt(addr.Module)
	var list []*configs.Provisioner
	var connection *configs.Connection
	if r := a.in.Config.Resource(addr.Config()); r != nil {
		list, connection = r.Provisioners, r.Connection
	} else if removed := findRemoved(a.in.Config, addr); removed != nil {
		list, connection = removed.Provisioners, removed.Connection
	}
	if s == nil {
		s = a.ev.root
	}
	rep := repetition{key: addr.Key}
	switch addr.Key.Kind {
	case addrs.KeyInt:
		rep.kind = countRepetition
	case addrs.KeyString:
		rep.kind, rep.value = forEachRepetition, cty.DynamicVal
	}
	var diags diag.List
	for _, p := range list {
		if !p.OnDestroy {
			continue
		}
		diags = append(diags, a.provision(ctx, s, p, connection, rep, prior.value, c.Object)...)
		if diags.HasErrors() {
			return diags
		}
	}
	return diags
}

// provision evaluates and runs one provisioner.
func (a *Apply) provision(ctx context.Context, s *scope, p *configs.Provisioner, shared *configs.Connection, rep repetition, self cty.Value, obj addrs.Object) diag.List {
	schema, ok := provision.Schema(p.Type)
	if !ok {
		return diag.ErrorAt(p.DeclRange, "Unknown provisioner type", "There is no provisioner %q: use local-exec, remote-exec or file.", p.Type)
	}
	config, secret, diags := evaluateBody(s, p.Config, schema, rep, self)
	connection := cty.NilVal
	conn := p.Connection
	if conn == nil {
		conn = shared
	}
	if conn != nil && p.Type != "local-exec" {
		val, _, d := evaluateBody(s, conn.Config, provision.ConnectionSchema(), rep, self)
		diags = append(diags, d...)
		connection = val
	}
	if diags.HasErrors() {
		return diags
	}
	began := time.Now()
	report := func(kind ProgressKind, text string) {
		a.in.Progress(Progress{Kind: kind, Object: obj, Provisioner: p.Type, Text: text, Elapsed: time.Since(began)})
	}
	report(ProvisionStart, "")
	if secret {
		report(ProvisionProgress, "(output suppressed due to sensitive value in config)")
	}
	err := provision.Run(ctx, provision.Request{
		Type: p.Type, Config: config, Connection: connection, WorkDir: a.in.WorkDir, Sensitive: secret,
		Output: func(line string) { report(ProvisionProgress, line) },
	})
	if err == nil {
		report(ProvisionComplete, "")
		return nil
	}
	report(ProvisionErrored, "")
	severity := diag.Error
	if p.Continue {
		severity = diag.Warning
	}
	return diag.List{{Severity: severity, Summary: p.Type + " provisioner error", Detail: err.Error(), Subject: p.DeclRange.Ptr()}}
}

// evaluateBody decodes a body and reports whether something in it is secret.
func evaluateBody(s *scope, body hcl.Body, schema *providers.Block, rep repetition, self cty.Value) (cty.Value, bool, diag.List) {
	refs, diags := lang.BodyReferences(body, schema.DecoderSpec())
	ctx, d := s.contextFor(refs, rep, self)
	diags = append(diags, d...)
	if diags.HasErrors() {
		return cty.NilVal, false, diags
	}
	val, d := decodeBody(body, schema, ctx)
	diags = append(diags, d...)
	secret := marks.Contains(val, marks.Sensitive) || marks.Contains(val, marks.Ephemeral)
	val, _ = val.UnmarkDeep()
	return val, secret, diags
}
