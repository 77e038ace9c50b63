package runs

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans"
)

type storedCheck struct {
	ObjectKind string              `json:"object_kind"`
	ConfigAddr string              `json:"config_addr"`
	Status     string              `json:"status"`
	Objects    []storedCheckObject `json:"objects"`
}

type storedCheckObject struct {
	ObjectAddr      string   `json:"object_addr"`
	Status          string   `json:"status"`
	FailureMessages []string `json:"failure_messages,omitempty"`
}

// CheckResultsJSON writes the outcomes of checks as tfstate's check_results has
// them; nil where there are none.
func CheckResultsJSON(checks []plans.CheckResult) json.RawMessage {
	if len(checks) == 0 {
		return nil
	}
	out := make([]storedCheck, 0, len(checks))
	for _, c := range checks {
		name := checkName(c.Kind, c.Name)
		kind := c.Kind
		if kind == "output_value" {
			kind = "output" // the state calls it so, the plan does not
		}
		s := storedCheck{ObjectKind: kind, ConfigAddr: within(c.Module.String(), name), Status: string(c.Status)}
		for _, i := range c.Instances {
			s.Objects = append(s.Objects, storedCheckObject{
				ObjectAddr:      within(i.Module.String(), name) + i.Key.String(),
				Status:          string(i.Status),
				FailureMessages: i.Problems,
			})
		}
		out = append(out, s)
	}
	return encode(out)
}

// checkName is the address of a checkable object within its module.
func checkName(kind, name string) string {
	switch kind {
	case "output_value":
		return "output." + name
	case "check":
		return "check." + name
	case "var":
		return "var." + name
	}
	return name
}

func within(module, name string) string {
	if module == "" {
		return name
	}
	return module + "." + name
}

// ReadCheckResults reads what [CheckResultsJSON] wrote, for showing a state.
// Entries whose addresses cannot be understood are left out.
func ReadCheckResults(raw json.RawMessage) ([]plans.CheckResult, error) {
	var stored []storedCheck
	if err := json.Unmarshal(raw, &stored); err != nil {
		return nil, fmt.Errorf("cannot read the outcomes of checks: %w", err)
	}
	var out []plans.CheckResult
	for _, s := range stored {
		module, name, ok := splitCheck(s.ObjectKind, s.ConfigAddr)
		if !ok {
			continue
		}
		c := plans.CheckResult{Kind: s.ObjectKind, Module: addrs.Module(""), Name: name, Status: plans.CheckStatus(s.Status)}
		if c.Kind == "output" {
			c.Kind = "output_value"
		}
		for _, step := range module.Steps() {
			c.Module = c.Module.Child(step.Name)
		}
		for _, o := range s.Objects {
			instance, local, ok := splitCheck(s.ObjectKind, o.ObjectAddr)
			if !ok {
				continue
			}
			i := plans.CheckInstance{Module: instance, Status: plans.CheckStatus(o.Status), Problems: o.FailureMessages}
			if s.ObjectKind == "resource" {
				if addr, err := addrs.ParseResourceInstance(local); err == nil {
					i.Key = addr.Key
				}
			}
			c.Instances = append(c.Instances, i)
		}
		out = append(out, c)
	}
	return out, nil
}

// splitCheck takes the address of a checkable object apart: its module, and its
// name as plans have it.
func splitCheck(kind, address string) (module addrs.ModuleInstance, name string, ok bool) {
	if kind == "resource" {
		addr, err := addrs.ParseResourceInstance(address)
		if err != nil {
			return "", "", false
		}
		module, addr.Module = addr.Module, ""
		return module, addr.String(), true
	}
	dot := strings.LastIndexByte(address, '.')
	if dot < 0 {
		return "", "", false
	}
	name = address[dot+1:]
	rest := address[:dot]
	if cut := strings.LastIndexByte(rest, '.'); cut >= 0 {
		var err error
		if module, err = addrs.ParseModuleInstance(rest[:cut]); err != nil {
			return "", "", false
		}
	}
	return module, name, true
}
