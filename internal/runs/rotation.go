package runs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sort"
	"strings"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/zclconf/go-cty/cty"
)

// SecretChange is one step in the life of a version of a secret. Each of them is
// made whole or not at all, and making one again changes nothing.
type SecretChange struct {
	Kind  SecretChangeKind
	Run   string // of the rotation
	Actor string // whom it is by
	Value []byte // to stage
	// Version is the one it is about: to take and to settle, 0 for the one that the
	// run has pending.
	Version int
	// Old is the version that was current when the rotation began; 0 for none.
	Old int
}

// SecretChangeKind says what becomes of a version.
type SecretChangeKind string

// What becomes of versions in a rotation.
const (
	StageSecret   SecretChangeKind = "stage"   // a new one is kept, as pending; where the run has one already it stays
	TakeSecret    SecretChangeKind = "take"    // the run's pending one is found, or a former one becomes pending again
	PromoteSecret SecretChangeKind = "promote" // pending becomes current, what was current previous
	SettleSecret  SecretChangeKind = "settle"  // nothing: tells how both stand
	DropSecret    SecretChangeKind = "drop"    // a pending one is forgotten; one that was taken is previous again
	RetireSecret  SecretChangeKind = "retire"  // previous becomes revoking: nobody goes back to it any more
	ForgetSecret  SecretChangeKind = "forget"  // revoking becomes revoked: its value is forgotten
)

// SecretStanding is how the versions of a rotation stand.
type SecretStanding struct {
	Version, Old, Current   int    // 0 for none
	VersionState, OldState  string // current, pending, previous, revoking, revoked, dropped, former, removed; empty for none
	Promoted, Made, Retired bool   // Version is current; it was made by the run and not taken; the version is being revoked
}

// RotationError is the name of the error where a version of a secret cannot
// become what it should.
const RotationError = "Tutti.SecretNotRotated"

// rotating carries out the steps of rotations that are about versions.
func rotating(o WorkflowOptions, secret string) WorkflowAction {
	return func(ctx context.Context, c WorkflowCall) (WorkflowResult, error) {
		args := c.Arguments.AsValueMap()
		text := func(name string) string {
			if v := args[name]; !v.IsNull() {
				return v.AsString()
			}
			return ""
		}
		count := func(name string) int {
			if v := args[name]; !v.IsNull() {
				n, _ := v.AsBigFloat().Int64()
				return int(n)
			}
			return 0
		}
		change := SecretChange{Kind: SecretChangeKind(text("change")), Version: count("version"), Old: count("old")}
		switch change.Kind {
		case "generate":
			value, err := drawn(count("length"), text("characters"))
			if err != nil {
				return WorkflowResult{}, err
			}
			change = SecretChange{Kind: StageSecret, Value: value}
		case "report":
			change.Kind = SettleSecret
			standing, err := o.rotate(ctx, c, secret, change)
			if err != nil {
				return WorkflowResult{}, err
			}
			return report(c, o.Environment, secret, standing, args["stacks"])
		}
		standing, err := o.rotate(ctx, c, secret, change)
		return WorkflowResult{Outputs: standing.outputs("")}, err
	}
}

// rotate makes a change for the run of a step, if whom it is by may.
func (o *WorkflowOptions) rotate(ctx context.Context, c WorkflowCall, name string, change SecretChange) (SecretStanding, error) {
	if err := o.may(c, access.Secret, name); err != nil {
		return SecretStanding{}, err
	}
	if o.Secrets == nil {
		return SecretStanding{}, actions.Errorf(SecretError, "Secrets cannot be changed here.")
	}
	change.Run, change.Actor = c.Task.Run().ID, c.Task.Run().Actor
	standing, err := o.Secrets.Rotate(ctx, name, change)
	if err != nil {
		return standing, actions.Errorf(RotationError, "The secret %q: %s.", name, err)
	}
	return standing, nil
}

// outputs are those of a step; what there is none of is null.
func (s SecretStanding) outputs(text string) cty.Value {
	number := func(n int) cty.Value {
		if n == 0 {
			return cty.NullVal(cty.Number)
		}
		return cty.NumberIntVal(int64(n))
	}
	return cty.ObjectVal(map[string]cty.Value{
		"version": number(s.Version), "old": number(s.Old), "promoted": cty.BoolVal(s.Promoted), "made": cty.BoolVal(s.Made),
		"retired": cty.BoolVal(s.Retired), "text": cty.StringVal(text),
	})
}

// drawn is a text of characters that are drawn at random.
func drawn(length int, characters string) ([]byte, error) {
	from := []rune(characters)
	out := make([]rune, length)
	for i := range out {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(from))))
		if err != nil {
			return nil, fmt.Errorf("a value cannot be drawn: %w", err)
		}
		out[i] = from[n.Int64()]
	}
	return []byte(string(out)), nil
}

// keep carries out an action that prints the new value of the secret that is
// rotated. What it prints goes into the store of secrets, sealed, and nowhere
// else: neither into its log, nor its outputs, nor an error.
func (w *workflowSteps) keep(ctx context.Context, c WorkflowCall, action WorkflowAction) (WorkflowResult, error) {
	// Somebody who may not keep a value must not have one made.
	if err := w.o.may(c, access.Secret, w.d.Workflow.Rotates); err != nil {
		return WorkflowResult{}, err
	}
	c.Logs = func(string) io.Writer { return beating(c.Beat) }
	made, err := action(ctx, c)
	if err != nil {
		return WorkflowResult{}, withheld(err)
	}
	v, _ := made.Outputs.UnmarkDeep()
	value := strings.TrimSuffix(strings.TrimSuffix(v.GetAttr("stdout").AsString(), "\n"), "\r")
	switch {
	case value == "":
		return WorkflowResult{}, actions.Errorf(RotationError, "It printed nothing: what it prints to standard output is the new value.")
	case len(value) >= longestValue:
		return WorkflowResult{}, actions.Errorf(RotationError, "It printed more than a secret may have: %d bytes.", longestValue)
	}
	standing, err := w.o.rotate(ctx, c, w.d.Workflow.Rotates, SecretChange{Kind: StageSecret, Value: []byte(value)})
	return WorkflowResult{Outputs: standing.outputs("")}, err
}

// longestValue is how much of what a command prints is kept, in bytes.
const longestValue = 1 << 20

// beating takes what is not kept for a sign of life.
type beating func()

func (b beating) Write(p []byte) (int, error) {
	if b != nil {
		b()
	}
	return len(p), nil
}

// withheld is an error without what a command said last, which may have the new
// value in it.
func withheld(err error) error {
	var known *actions.Error
	if !errors.As(err, &known) {
		return err
	}
	first, _, _ := strings.Cut(known.Cause, "\n")
	if known.Name == "Tutti.InvalidResult" {
		first = "What it wrote to the file named by TUTTI_RESULT is no JSON value."
	}
	return &actions.Error{Name: known.Name, Cause: first + "\nWhat it wrote is not shown: it may have the new value in it."}
}

// rotationReport is the data of the events secret.rotated and
// secret.rotation_failed.
type rotationReport struct {
	Environment string            `json:"environment"`
	Current     int               `json:"current,omitempty"`
	Version     int               `json:"version,omitempty"`
	State       string            `json:"state,omitempty"`
	Old         int               `json:"old,omitempty"`
	OldState    string            `json:"old_state,omitempty"`
	Stacks      map[string]string `json:"stacks"` // new, restored, unclear or untouched
	By          string            `json:"by"`
	Run         string            `json:"run"`
}

// report says what state everything is in at the end of a rotation.
func report(c WorkflowCall, environment, secret string, s SecretStanding, stacks cty.Value) (WorkflowResult, error) {
	r := rotationReport{
		Environment: environment, Current: s.Current, Version: s.Version, State: s.VersionState, Old: s.Old, OldState: s.OldState,
		Stacks: map[string]string{}, By: c.Task.Run().Actor, Run: c.Task.Run().ID,
	}
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if s.Current == 0 {
		say("The secret %s has no current value in %s.", secret, environment)
	} else {
		say("Version %d of the secret %s is current in %s.", s.Current, secret, environment)
	}
	if s.Version != 0 && !s.Promoted {
		say("Version %d is %s%s.", s.Version, s.VersionState, meaning[s.VersionState])
	}
	if s.Old != 0 && s.Promoted {
		say("Version %d is %s%s.", s.Old, s.OldState, meaning[s.OldState])
	}
	given := map[string]cty.Value{}
	if !stacks.IsNull() {
		given = stacks.AsValueMap()
	}
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		applied, restored := given[name].GetAttr("applied").AsString(), given[name].GetAttr("restored").AsString()
		touched := applied == string(flow.Succeeded) || applied == string(flow.Failed) || applied == string(flow.Cancelled)
		switch {
		case s.Promoted && applied == string(flow.Succeeded):
			r.Stacks[name] = "new"
			say("Stack %s has version %d.", name, s.Version)
		case !touched:
			r.Stacks[name] = "untouched"
			say("Stack %s was not touched.", name)
		case restored == string(flow.Succeeded):
			r.Stacks[name] = "restored"
			say("Stack %s was applied with version %d again.", name, s.Current)
		case s.Current == 0:
			r.Stacks[name] = "unclear"
			say("Stack %s may have version %d: set a value and apply it again.", name, s.Version)
		default:
			r.Stacks[name] = "unclear"
			say("Stack %s may have version %d still: apply it again.", name, s.Version)
		}
	}
	text := strings.Join(lines, "\n")
	_, _ = fmt.Fprintln(c.Logs("stdout"), text)
	e := events.Event{Source: "/secrets", Type: "secret.rotation_failed", Subject: secret, Actor: access.Subject(r.By)}
	if s.Promoted {
		e.Type = "secret.rotated"
	}
	var err error
	if e.Data, err = json.Marshal(r); err != nil {
		return WorkflowResult{}, err
	}
	return WorkflowResult{Outputs: s.outputs(text), Events: []events.Event{e}}, nil
}

// meaning explains the states of versions to people.
var meaning = map[string]string{
	"pending":  ": stacks may have it, and it is kept until the next rotation succeeds",
	"previous": ": its value is kept, and can be gone back to",
	"revoking": ": taking it back has not succeeded, and its value is kept",
	"dropped":  ": its value is forgotten",
	"revoked":  ": its value is forgotten",
}
