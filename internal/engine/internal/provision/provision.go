// Package provision runs provisioners: commands on this machine, commands and
// files on another one over SSH. It is what stays for the cases a provider
// cannot do; arguments and defaults are those of Terraform's provisioners.
package provision

import (
	"context"
	"fmt"

	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// Request is one run of a provisioner. Config conforms to [Schema] of its type,
// Connection to [ConnectionSchema], or is cty.NilVal where there is none; both
// are known and without marks.
type Request struct {
	Type       string
	Config     cty.Value
	Connection cty.Value
	WorkDir    string
	// Sensitive says that something in Config is secret: output and commands are
	// not shown then.
	Sensitive bool
	Output    func(line string)
}

// Run runs a provisioner to its end, or until ctx is cancelled.
func Run(ctx context.Context, r Request) error {
	if r.Sensitive {
		r.Output = func(string) {}
	}
	switch r.Type {
	case "local-exec":
		return localExec(ctx, r)
	case "remote-exec":
		return remoteExec(ctx, r)
	case "file":
		return copyFile(ctx, r)
	}
	return fmt.Errorf("there is no provisioner %q", r.Type)
}

// Schema returns the arguments of a provisioner; ok is false where there is
// none of that type.
func Schema(typ string) (schema *providers.Block, ok bool) {
	switch typ {
	case "local-exec":
		return attributes(map[string]cty.Type{
			"command":     cty.String,
			"interpreter": cty.List(cty.String),
			"working_dir": cty.String,
			"environment": cty.Map(cty.String),
			"quiet":       cty.Bool,
		}, "command"), true
	case "remote-exec":
		return attributes(map[string]cty.Type{
			"inline":  cty.List(cty.String),
			"script":  cty.String,
			"scripts": cty.List(cty.String),
		}), true
	case "file":
		return attributes(map[string]cty.Type{
			"source":      cty.String,
			"content":     cty.String,
			"destination": cty.String,
		}, "destination"), true
	}
	return nil, false
}

// ConnectionSchema returns the arguments of a connection block.
func ConnectionSchema() *providers.Block {
	types := map[string]cty.Type{"port": cty.Number, "bastion_port": cty.Number, "agent": cty.Bool, "https": cty.Bool, "insecure": cty.Bool, "use_ntlm": cty.Bool}
	for _, name := range []string{
		"type", "user", "password", "host", "timeout", "script_path", "target_platform",
		"private_key", "certificate", "host_key", "agent_identity",
		"proxy_scheme", "proxy_host", "proxy_user_name", "proxy_user_password",
		"bastion_user", "bastion_password", "bastion_private_key", "bastion_certificate", "bastion_host", "bastion_host_key",
		"cacert",
	} {
		types[name] = cty.String
	}
	types["proxy_port"] = cty.Number
	return attributes(types)
}

func attributes(types map[string]cty.Type, required ...string) *providers.Block {
	b := &providers.Block{Attributes: make(map[string]*providers.Attribute, len(types))}
	for name, ty := range types {
		b.Attributes[name] = &providers.Attribute{Type: ty, Optional: true}
	}
	for _, name := range required {
		b.Attributes[name].Optional, b.Attributes[name].Required = false, true
	}
	return b
}

// The getters below read arguments that may be null.

func text(v cty.Value, name string) string {
	if a := v.GetAttr(name); !a.IsNull() {
		return a.AsString()
	}
	return ""
}

func texts(v cty.Value, name string) []string {
	a := v.GetAttr(name)
	if a.IsNull() {
		return nil
	}
	out := make([]string, 0, a.LengthInt())
	for it := a.ElementIterator(); it.Next(); {
		if _, e := it.Element(); e.IsNull() {
			out = append(out, "")
		} else {
			out = append(out, e.AsString())
		}
	}
	return out
}

func flag(v cty.Value, name string, otherwise bool) bool {
	if a := v.GetAttr(name); !a.IsNull() {
		return a.True()
	}
	return otherwise
}

func number(v cty.Value, name string, otherwise int) int {
	a := v.GetAttr(name)
	if a.IsNull() {
		return otherwise
	}
	n, _ := a.AsBigFloat().Int64()
	return int(n)
}
