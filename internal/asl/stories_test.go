package asl

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/workflow"
)

// world stands for everything outside: it answers effects. A nil answer leaves
// the effect open; what is open when nothing else can happen is a timer that
// ends, or the end of the story.
type world func(step int, e Effect) *answer

type answer struct {
	outcome Outcome
	failed  bool
}

func succeeds(output string) *answer {
	return &answer{outcome: Outcome{Output: json.RawMessage(output)}}
}

func fails(name, cause string) *answer {
	return &answer{outcome: Outcome{Error: name, Cause: cause}, failed: true}
}

// story is an execution under way in a test.
type story struct {
	t       *testing.T
	source  string
	m       *Machine
	now     time.Time
	journal []workflow.Entry
	open    map[int]Effect
	ended   bool
	answers world
}

// tell starts an execution and goes on until it waits or ends.
func tell(t *testing.T, definition, input string, w world) *story {
	t.Helper()
	if found := Validate([]byte(definition), Options{}); len(found) > 0 {
		t.Fatalf("the definition is not valid: %v", found)
	}
	d, err := Parse([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	s := &story{
		t: t, source: definition, m: NewMachine(d), open: map[int]Effect{}, answers: w,
		now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	data, _ := json.Marshal(Start{Name: "story", Input: json.RawMessage(input), Secret: "s"})
	s.add(workflow.Entry{Kind: workflow.RunStarted, Step: -1, Data: data})
	s.settle()
	return s
}

func (s *story) add(e workflow.Entry) {
	s.t.Helper()
	e.Sequence, e.Time = int64(len(s.journal)+1), s.now
	s.journal = append(s.journal, e)
	commands, err := s.m.Apply(e)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range commands {
		if c.Kind == workflow.FinishRun {
			s.ended = true
			continue
		}
		s.open[c.Step] = s.m.Effect(c.Step)
	}
}

// settle answers effects and lets timers end until nothing is left to do.
func (s *story) settle() {
	for progress := true; progress && !s.ended; {
		progress = false
		for _, step := range slices.Sorted(maps.Keys(s.open)) {
			e := s.open[step]
			if !s.m.Waits(step) {
				delete(s.open, step)
				continue
			}
			if e.Kind == Timer || s.answers == nil {
				continue
			}
			if a := s.answers(step, e); a != nil {
				s.end(step, *a)
				progress = true
			}
			if s.ended {
				return
			}
		}
		if progress {
			continue
		}
		next := -1
		for step, e := range s.open {
			if e.Kind == Timer && (next < 0 || e.Until.Before(s.open[next].Until) || e.Until.Equal(s.open[next].Until) && step < next) {
				next = step
			}
		}
		if next >= 0 {
			if until := s.open[next].Until; until.After(s.now) {
				s.now = until
			}
			s.end(next, answer{})
			progress = true
		}
	}
}

// end ends a step.
func (s *story) end(step int, a answer) {
	s.t.Helper()
	delete(s.open, step)
	kind := workflow.StepSucceeded
	if a.failed {
		kind = workflow.StepFailed
	}
	data, _ := json.Marshal(a.outcome)
	s.add(workflow.Entry{Kind: kind, Step: step, Data: data})
}

// only returns the one open effect of a kind.
func (s *story) only(kind EffectKind) (int, Effect) {
	s.t.Helper()
	found := -1
	for step, e := range s.open {
		if e.Kind == kind && s.m.Waits(step) {
			if found >= 0 {
				s.t.Fatalf("there are several effects of the kind %s", kind)
			}
			found = step
		}
	}
	if found < 0 {
		s.t.Fatalf("there is no effect of the kind %s: %+v", kind, s.open)
	}
	return found, s.open[found]
}

// expect compares the history, without the events that every execution has and
// one line per event, and checks that a replay tells the same.
func (s *story) expect(want ...string) {
	s.t.Helper()
	var got []string
	for _, e := range s.m.History() {
		switch e.Type {
		case "ExecutionStarted", "TaskStateEntered", "TaskStateExited", "PassStateEntered", "PassStateExited":
			continue
		}
		line := e.Type
		if e.Details != nil {
			line += " " + text(e.Details)
		}
		got = append(got, strings.ReplaceAll(line, `,"outputDetails":{"truncated":false}`, ""))
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			s.t.Errorf("event %d is one too many: %s", i, got[i])
		case i >= len(got):
			s.t.Errorf("event %d is missing: %s", i, want[i])
		case got[i] != want[i]:
			s.t.Errorf("event %d\n\t got %s\n\twant %s", i, got[i], want[i])
		}
	}
	s.replays()
}

func (s *story) replays() {
	s.t.Helper()
	d, err := Parse([]byte(s.source))
	if err != nil {
		s.t.Fatal(err)
	}
	again := NewMachine(d)
	for _, e := range s.journal {
		if _, err := again.Apply(e); err != nil {
			s.t.Fatal(err)
		}
	}
	if a, b := text(s.m.History()), text(again.History()); a != b {
		s.t.Errorf("a replayed machine tells\n%s\nnot\n%s", b, a)
	}
	for step := range s.open {
		if a, b := fmt.Sprintf("%+v", s.m.Effect(step)), fmt.Sprintf("%+v", again.Effect(step)); a != b {
			s.t.Errorf("a replayed machine has the effect\n%s\nnot\n%s", b, a)
		}
	}
}

// result checks how it ended: the output, or "Error: cause".
func (s *story) result(want string) {
	s.t.Helper()
	r := s.m.Result()
	got := text(r.Output)
	if r.Status != "SUCCEEDED" {
		got = r.Status + " " + r.Error + ": " + r.Cause
	}
	if got != want {
		s.t.Errorf("result\n\t got %s\n\twant %s", got, want)
	}
}
