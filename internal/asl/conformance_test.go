package asl

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/workflow"
)

// recorded is an execution recorded from the real service; see
// testdata/README.md.
type recorded struct {
	topic      string
	ID         string          `json:"id"`
	Definition json.RawMessage `json:"definition"`
	Input      json.RawMessage `json:"input"`
	Type       string          `json:"type"`
	Traits     struct {
		HistoryOrder string `json:"historyOrder"`
	} `json:"traits"`
	Masks []struct {
		Kind, Path, Pattern, Value string
	} `json:"masks"`
	Expected struct {
		Status  string          `json:"status"`
		Output  json.RawMessage `json:"output"`
		Error   *string         `json:"error"`
		Cause   *string         `json:"cause"`
		History []struct {
			ID         int64           `json:"id"`
			Previous   int64           `json:"previousEventId"`
			Type       string          `json:"type"`
			DetailsKey string          `json:"detailsKey"`
			Details    json.RawMessage `json:"details"`
		} `json:"history"`
	} `json:"expected"`
}

// execute runs a definition on a clock that jumps to the next timer.
func execute(definition, input []byte, express bool) (*Machine, error) {
	m, _, err := journalled(definition, input, express)
	return m, err
}

// journalled is execute with the journal it made.
func journalled(definition, input []byte, express bool) (*Machine, []workflow.Entry, error) {
	d, err := Parse(definition)
	if err != nil {
		return nil, nil, err
	}
	m := NewMachine(d)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	data, err := json.Marshal(Start{Name: "test", Input: input, Express: express})
	if err != nil {
		return nil, nil, err
	}
	queue := []workflow.Entry{{Kind: workflow.RunStarted, Step: -1, Data: data}}
	var journal []workflow.Entry
	timers := map[int]time.Time{}
	for sequence := int64(1); len(queue) > 0; sequence++ {
		e := queue[0]
		queue = queue[1:]
		e.Sequence, e.Time = sequence, now
		journal = append(journal, e)
		commands, err := m.Apply(e)
		if err != nil {
			return nil, nil, err
		}
		for _, c := range commands {
			if c.Kind == workflow.FinishRun {
				return m, journal, nil
			}
			timers[c.Step] = m.Effect(c.Step).Until
		}
		if len(queue) == 0 && len(timers) > 0 {
			var steps []int
			for step := range timers {
				steps = append(steps, step)
			}
			slices.SortFunc(steps, func(a, b int) int {
				if c := timers[a].Compare(timers[b]); c != 0 {
					return c
				}
				return a - b
			})
			if until := timers[steps[0]]; until.After(now) {
				now = until
			}
			delete(timers, steps[0])
			queue = append(queue, workflow.Entry{Kind: workflow.StepSucceeded, Step: steps[0]})
		}
	}
	return m, journal, fmt.Errorf("the execution waits for nothing")
}

var isoDate = regexp.MustCompile(`[1-9]\d{3}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-][01]\d:?(?:[0-5]\d)?)`)

// token finds what the recording replaced in a text.
var token = regexp.MustCompile(`<[A-Za-z_-]+:?[\w-]*>|\bdate\b|\btimestamp\b|map_run_arn|s[nf]{2}_role_arn|111111111111|start-time|entered-time|generated-uuid|RandomNumberGenerated`)

// alike compares a recorded text with ours: tokens stand for anything.
func alike(want, got string) bool {
	if want == got {
		return true
	}
	if !token.MatchString(want) {
		return false
	}
	var b strings.Builder
	b.WriteString(`(?s)^`)
	at := 0
	for _, m := range token.FindAllStringIndex(want, -1) {
		b.WriteString(regexp.QuoteMeta(want[at:m[0]]))
		b.WriteString(`.*`)
		at = m[1]
	}
	b.WriteString(regexp.QuoteMeta(want[at:]) + `$`)
	return regexp.MustCompile(b.String()).MatchString(isoDate.ReplaceAllString(got, "date"))
}

// same compares values as the recording can be compared and says where they
// differ.
func same(want, got any, at string) string {
	if s, ok := want.(string); ok {
		if alike(s, plain(got)) {
			return ""
		}
		return fmt.Sprintf("%s: want %q, got %s", at, s, text(got))
	}
	switch want := want.(type) {
	case *Object:
		o, ok := got.(*Object)
		if !ok {
			break
		}
		for _, k := range want.keys {
			v, ok := o.Get(k)
			if !ok {
				return fmt.Sprintf("%s/%s: missing, want %s", at, k, text(want.values[k]))
			}
			if d := same(want.values[k], v, at+"/"+k); d != "" {
				return d
			}
		}
		for _, k := range o.keys {
			if !want.Has(k) {
				return fmt.Sprintf("%s/%s: not expected: %s", at, k, text(o.values[k]))
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			break
		}
		for i := range want {
			if d := same(want[i], list[i], fmt.Sprintf("%s[%d]", at, i)); d != "" {
				return d
			}
		}
		return ""
	default:
		if equal(want, got) {
			return ""
		}
	}
	return fmt.Sprintf("%s: want %s, got %s", at, text(want), text(got))
}

func decoded(t *testing.T, data json.RawMessage) any {
	t.Helper()
	if len(data) == 0 {
		return nil
	}
	v, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// judge compares an execution with the recorded one.
func (r *recorded) judge(t *testing.T) string {
	m, err := execute(r.Definition, r.Input, r.Type == "EXPRESS")
	if err != nil {
		return err.Error()
	}
	got := m.Result()
	switch {
	case got.Status != r.Expected.Status:
		return fmt.Sprintf("status: want %s, got %s (%s: %s)", r.Expected.Status, got.Status, got.Error, got.Cause)
	case r.Expected.Error == nil && got.Error != "" || r.Expected.Error != nil && *r.Expected.Error != got.Error:
		return fmt.Sprintf("error: got %q (%s)", got.Error, got.Cause)
	case r.Expected.Cause == nil && got.HasCause || r.Expected.Cause != nil && !alike(*r.Expected.Cause, got.Cause):
		return fmt.Sprintf("cause: got %q", got.Cause)
	}
	if d := same(decoded(t, r.Expected.Output), got.Output, "output"); d != "" {
		return d
	}
	if r.Expected.History == nil {
		return ""
	}
	return r.judgeHistory(t, m)
}

func (r *recorded) judgeHistory(t *testing.T, m *Machine) string {
	var want, have []Event
	events := m.Recorded()
	if len(events) != len(r.Expected.History) {
		var types []string
		for _, e := range events {
			types = append(types, e.Type)
		}
		return fmt.Sprintf("history: want %d events, got %d: %s", len(r.Expected.History), len(events), types)
	}
	for i, w := range r.Expected.History {
		e := events[i]
		if w.ID == 0 {
			want = append(want, Event{Type: w.Type, DetailsKey: w.DetailsKey, Details: decoded(t, w.Details)})
			have = append(have, e)
			continue
		}
		at := fmt.Sprintf("history[%d]", i)
		if e.ID != w.ID || e.Previous != w.Previous || e.Type != w.Type || e.DetailsKey != w.DetailsKey {
			return fmt.Sprintf("%s: want %d %d %s, got %d %d %s", at, w.ID, w.Previous, w.Type, e.ID, e.Previous, e.Type)
		}
		if d := same(decoded(t, w.Details), e.Details, at); d != "" {
			return d
		}
	}
	for _, w := range want { // the same in any order
		i := slices.IndexFunc(have, func(e Event) bool {
			return e.Type == w.Type && e.DetailsKey == w.DetailsKey && same(w.Details, e.Details, "") == ""
		})
		if i < 0 {
			return fmt.Sprintf("history of branches: there is no %s %s", w.Type, text(w.Details))
		}
		have = slices.Delete(have, i, i+1)
	}
	return ""
}

// recordings returns the executions of all topics.
func recordings(t *testing.T) []recorded {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	var all []recorded
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if name == "validation" || name == "teststate" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []recorded
		if err := json.Unmarshal(data, &cases); err != nil {
			t.Fatal(err)
		}
		for i := range cases {
			cases[i].topic = name
		}
		all = append(all, cases...)
	}
	return all
}

// racy are recordings in which MapStateExited follows the start of the map run
// and not its end, as in all others: the service's events overtake each other.
var racy = []string{
	"MAP_STATE_REFERENCE_IN_ITEM_SELECTOR", "MAP_STATE_REFERENCE_IN_TOLERATED_FAILURE_PATH", "test_map_state_nested_config_distributed#",
}

func TestRecordedExecutions(t *testing.T) {
	good, total := map[string]int{}, map[string]int{}
	var topics []string
	for _, r := range recordings(t) {
		if total[r.topic]++; total[r.topic] == 1 {
			topics = append(topics, r.topic)
		}
		d := r.judge(t)
		known := slices.ContainsFunc(racy, func(name string) bool { return strings.Contains(r.ID, name) })
		switch {
		case d == "":
			good[r.topic]++
		case !known:
			t.Errorf("%s\n\t%s", r.ID, d)
		}
	}
	for _, topic := range topics {
		t.Logf("%-20s %d of %d", topic, good[topic], total[topic])
	}
}

// TestReplay rebuilds machines from their journals: they must tell the same, to
// the last random number.
func TestReplay(t *testing.T) {
	for _, r := range recordings(t) {
		m, journal, err := journalled(r.Definition, r.Input, false)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Parse(r.Definition)
		if err != nil {
			t.Fatal(err)
		}
		again := NewMachine(d)
		for _, e := range journal {
			if _, err := again.Apply(e); err != nil {
				t.Fatalf("%s: %s", r.ID, err)
			}
		}
		if a, b := text(m.History()), text(again.History()); a != b {
			t.Errorf("%s: a replayed machine tells\n%s\nnot\n%s", r.ID, b, a)
		}
	}
}

// TestWrongEntries offers machines entries that cannot follow.
func TestWrongEntries(t *testing.T) {
	d, err := Parse([]byte(`{"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 5, "End": true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	start := workflow.Entry{Sequence: 1, Kind: workflow.RunStarted, Step: -1, Data: []byte(`{"name": "x"}`)}
	for _, second := range []workflow.Entry{
		{Sequence: 3, Kind: workflow.StepSucceeded},
		{Sequence: 2, Kind: workflow.RunStarted, Data: start.Data},
		{Sequence: 2, Kind: workflow.StepSucceeded, Step: 1},
		{Sequence: 2, Kind: "no_such_kind"},
		{Sequence: 2, Kind: workflow.StepSucceeded, Data: []byte(`{`)},
	} {
		m := NewMachine(d)
		if _, err := m.Apply(start); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Apply(second); err == nil {
			t.Errorf("%+v was taken", second)
		}
	}
	if _, err := NewMachine(d).Apply(workflow.Entry{Sequence: 1, Kind: workflow.StepSucceeded}); err == nil {
		t.Error("a journal was taken that does not start with a start")
	}
}

// TestCancelAndTimeout ends executions from outside.
func TestCancelAndTimeout(t *testing.T) {
	d, err := Parse([]byte(`{"StartAt": "A", "TimeoutSeconds": 3, "States": {"A": {"Type": "Wait", "Seconds": 5, "End": true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	start := workflow.Entry{Sequence: 1, Kind: workflow.RunStarted, Step: -1, Data: []byte(`{"name": "x"}`)}
	for kind, want := range map[workflow.Kind]string{workflow.CancelRequested: "ABORTED", workflow.StepSucceeded: "TIMED_OUT"} {
		m := NewMachine(d)
		commands, err := m.Apply(start)
		if err != nil || len(commands) != 2 {
			t.Fatal(commands, err)
		}
		// Step 0 is the timeout of the whole, step 1 the wait.
		commands, err = m.Apply(workflow.Entry{Sequence: 2, Kind: kind})
		if err != nil || len(commands) != 1 || commands[0].Kind != workflow.FinishRun || m.Result().Status != want {
			t.Errorf("%s: %v %v %+v", kind, commands, err, m.Result())
		}
	}
}

// TestEndlessLoop cancels a machine that never waits.
func TestEndlessLoop(t *testing.T) {
	d, err := Parse([]byte(`{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "A"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	m := NewMachine(d)
	commands, err := m.Apply(workflow.Entry{Sequence: 1, Kind: workflow.RunStarted, Step: -1, Data: []byte(`{"name": "x"}`)})
	if err != nil || len(commands) != 1 || commands[0].Kind != workflow.StartStep {
		t.Fatal(commands, err)
	}
	if _, err := m.Apply(workflow.Entry{Sequence: 2, Kind: workflow.CancelRequested, Step: -1}); err != nil || m.Result().Status != "ABORTED" {
		t.Fatal(m.Result(), err)
	}
}

func FuzzDefinition(f *testing.F) {
	f.Add([]byte(`{"StartAt": "A", "States": {"A": {"Type": "Pass", "Parameters": {"a.$": "States.Format('{}', $.b[?(@.c > 1)])"}, "End": true}}}`), []byte(`{"b": [{"c": 2}]}`))
	f.Add([]byte(`{"StartAt": "A", "States": {"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "StringMatches": "a*\\*", "Next": "B"}], "Default": "B"}, "B": {"Type": "Map", "Iterator": {"StartAt": "C", "States": {"C": {"Type": "Succeed"}}}, "Retry": [{"ErrorEquals": ["States.ALL"]}], "End": true}}}`), []byte(`[1]`))
	f.Fuzz(func(t *testing.T, definition, input []byte) {
		if len(Validate(definition, Options{})) > 0 {
			return
		}
		d, err := Parse(definition)
		if err != nil {
			t.Fatalf("valid and not parsed: %s", err)
		}
		if _, err := Decode(input); err != nil {
			return
		}
		start, _ := json.Marshal(Start{Name: "x", Input: input})
		m := NewMachine(d)
		if _, err := m.Apply(workflow.Entry{Sequence: 1, Kind: workflow.RunStarted, Step: -1, Data: start}); err != nil {
			t.Fatal(err)
		}
	})
}
