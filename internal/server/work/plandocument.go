package work

import (
	"encoding/json"
	"slices"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
)

// PlanFromDocument reads of plan JSON which objects and outputs change, and how.
func PlanFromDocument(data []byte, mode plans.Mode) (*plans.Plan, error) {
	type change struct {
		Address  string `json:"address"`
		Previous string `json:"previous_address"`
		Deposed  string `json:"deposed"`
		Reason   string `json:"action_reason"`
		Change   struct {
			Actions   []string `json:"actions"`
			Importing *struct {
				ID string `json:"id"`
			} `json:"importing"`
		} `json:"change"`
	}
	var doc struct {
		Changes []change `json:"resource_changes"`
		Drift   []change `json:"resource_drift"`
		Outputs map[string]struct {
			Actions         []string `json:"actions"`
			BeforeSensitive any      `json:"before_sensitive"`
			AfterSensitive  any      `json:"after_sensitive"`
		} `json:"output_changes"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	p := &plans.Plan{Mode: mode}
	read := func(list []change) (out []*plans.Change, err error) {
		for _, c := range list {
			one := &plans.Change{Action: actionOf(c.Change.Actions), Reason: plans.Reason(c.Reason)}
			if one.Object.Instance, err = addrs.ParseResourceInstance(c.Address); err != nil {
				return nil, err
			}
			one.Object.Deposed, one.PrevAddress = addrs.DeposedKey(c.Deposed), one.Object.Instance
			if c.Previous != "" {
				if one.PrevAddress, err = addrs.ParseResourceInstance(c.Previous); err != nil {
					return nil, err
				}
			}
			if c.Change.Importing != nil {
				one.Importing = &plans.Importing{ID: c.Change.Importing.ID}
			}
			out = append(out, one)
		}
		return out, nil
	}
	var err error
	if p.Changes, err = read(doc.Changes); err == nil {
		p.Drift, err = read(doc.Drift)
	}
	for _, name := range sortedKeys(doc.Outputs) {
		o := doc.Outputs[name]
		p.Outputs = append(p.Outputs, &plans.OutputChange{Name: name, Action: actionOf(o.Actions), Sensitive: o.BeforeSensitive == true || o.AfterSensitive == true})
	}
	return p, err
}

// actionOf is the action that plan JSON has these words for.
func actionOf(words []string) plans.Action {
	for _, a := range []plans.Action{
		plans.Create, plans.Read, plans.Update, plans.DeleteThenCreate, plans.CreateThenDelete, plans.Delete, plans.Forget, plans.ForgetThenCreate,
	} {
		if slices.Equal(jsonplan.Actions(a), words) {
			return a
		}
	}
	return plans.NoOp
}
