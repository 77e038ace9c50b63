package triggers

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/schedules"
)

// Trigger is a trigger of a project that has a schedule, ready to be driven.
type Trigger struct {
	Name     string
	Schedule schedules.Schedule
	Missed   schedules.Missed
	Overlap  schedules.Overlap
	Declared *projects.Trigger
	Project  *projects.Project
}

// expression is what the trigger's instants follow from.
func (t *Trigger) expression() string {
	return "TZ=" + t.Schedule.Location().String() + " " + t.Schedule.String()
}

// RunID is the id of the run that an instant of a trigger starts. again is the
// number of the backfill that runs it once more; 0 for none.
func RunID(trigger string, at time.Time, again int) string {
	id := idOf(trigger, at.UTC().Format("20060102T150405Z"))
	if again > 0 {
		id += "-" + strconv.Itoa(again)
	}
	return id
}

// idOf is the id of a run of a trigger. It is the name of a file, too.
func idOf(trigger, what string) string {
	const longest = 100
	if len(trigger) > longest {
		sum := sha256.Sum256([]byte(trigger))
		trigger = strings.ToValidUTF8(trigger[:longest-17], "") + "-" + hex.EncodeToString(sum[:8])
	}
	return trigger + "-" + what
}

// Read makes the project's triggers that have schedules, by name. Those that are
// wrong are left out and told about.
func Read(p *projects.Project) ([]*Trigger, diag.List) {
	var out []*Trigger
	var diags diag.List
	for _, name := range sortedKeys(p.Triggers) {
		declared := p.Triggers[name]
		if _, given := declared.Ranges["schedule"]; !given {
			continue // reported where it was read
		}
		t, found := read(p, declared)
		diags = append(diags, found...)
		if !found.HasErrors() {
			out = append(out, t)
		}
	}
	return out, diags
}

func read(p *projects.Project, declared *projects.Trigger) (*Trigger, diag.List) {
	t := &Trigger{Name: declared.Name, Declared: declared, Project: p, Overlap: schedules.OverlapSkip}
	var diags diag.List
	wrong := func(argument, summary string, err error) {
		rng, ok := declared.Ranges[argument]
		if !ok {
			rng = declared.DeclRange
		}
		diags = append(diags, diag.ErrorAt(rng, summary, "The trigger %q: %s.", declared.Name, err)...)
	}
	var err error
	if _, zone := schedules.Parse("@daily", declared.Timezone); zone != nil {
		wrong("timezone", "Invalid time zone", cause(zone))
	} else if t.Schedule, err = schedules.Parse(declared.Schedule, declared.Timezone); err != nil {
		wrong("schedule", "Invalid schedule", err)
	} else if _, ever := t.Schedule.Next(time.Unix(0, 0)); !ever {
		diags = append(diags, diag.ErrorAt(declared.Ranges["schedule"], "Schedule without instants", "The trigger %q would never start anything: no date fits %q.", declared.Name, declared.Schedule)...)
	}
	missed := declared.Missed
	if missed == "" {
		missed = "latest"
	}
	if t.Missed, err = schedules.ParseMissed(missed); err != nil {
		wrong("missed", "Invalid policy", err)
	}
	if declared.Overlap != "" {
		if t.Overlap, err = schedules.ParseOverlap(declared.Overlap); err != nil {
			wrong("overlap", "Invalid policy", err)
		}
	}
	return t, diags
}

// cause is the innermost error: the outer ones speak of an expression that
// nobody wrote.
func cause(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil {
			return err
		}
		err = inner.Unwrap()
	}
}

func sortedKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
