package runs

import (
	"encoding/json"

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
