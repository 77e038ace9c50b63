package views

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/plans/plantest"
	"github.com/tutti-dev/tutti/internal/states"
)

// messages decodes a stream and leaves out what differs from run to run and
// from program to program.
func messages(t *testing.T, data []byte) []map[string]any {
	t.Helper()
	var out []map[string]any
	for d := json.NewDecoder(bytes.NewReader(data)); d.More(); {
		m := map[string]any{}
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		delete(m, "@timestamp")
		delete(m, "@module")
		out = append(out, m)
	}
	return out
}

// TestEquivalentStreams makes the messages of recorded runs from their plans.
func TestEquivalentStreams(t *testing.T) {
	equivalenceCases(t, func(t *testing.T, dir string, schemas jsonplan.Schemas) {
		p := plantest.Plan(t, plantest.ReadJSON(t, filepath.Join(dir, "plan.json")), schemas)
		var recorded []map[string]any
		if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "apply.json"))), &recorded); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		stream := NewStream(&out, time.Now)
		defer stream.Close()
		stream.Actions(p)
		n := p.Count()
		stream.Applied(plans.Normal, Totals{Added: n.Add, Changed: n.Change, Destroyed: n.Destroy, Imported: n.Import, Forgotten: n.Forget})
		if !hasType(recorded, "change_summary") {
			t.Skip("nothing was applied")
		}
		want := ofTypes(recorded, "planned_change", "change_summary")
		if len(ofTypes(want, "change_summary")) > 1 {
			t.Skip("recorded with a plan of its own")
		}
		if got := messages(t, out.Bytes()); !sameMessages(got, want) {
			t.Errorf("got %v\nwant %v", got, want)
		}
	})
}

func ofTypes(list []map[string]any, types ...string) []map[string]any {
	var out []map[string]any
	for _, m := range list {
		for _, name := range types {
			if m["type"] == name {
				delete(m, "@timestamp")
				delete(m, "@module")
				out = append(out, m)
			}
		}
	}
	return out
}

func hasType(list []map[string]any, name string) bool {
	for _, m := range list {
		if m["type"] == name {
			return true
		}
	}
	return false
}

// sameMessages compares without regard to order, which differs.
func sameMessages(a, b []map[string]any) bool {
	if len(a) != len(b) {
		return false
	}
next:
	for _, m := range a {
		for _, n := range b {
			if reflect.DeepEqual(m, n) {
				continue next
			}
		}
		return false
	}
	return true
}

func TestStreamGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		stream := NewStream(&out, time.Now)
		stream.Version("1.15.0", "0.1.0")
		stream.Plan(samplePlan(t))
		stream.Diagnostic(diag.WarningAt(*rangeOf(t, "default"), "Old <argument>", "Use \x1b[1manother\x1b[0m.")[0], diagnosticSources)
		for _, p := range sampleProgress(t) {
			time.Sleep(p.after)
			stream.Progress(p.Progress)
		}
		stream.Applied(plans.Normal, Totals{Added: 2, Destroyed: 1})
		stream.Outputs(map[string]*states.Output{
			"open":   {Value: json.RawMessage(`"x"`), Type: json.RawMessage(`"string"`)},
			"secret": {Value: json.RawMessage(`"hunter2"`), Type: json.RawMessage(`"string"`), Sensitive: true},
		})
		stream.Outputs(nil)
		stream.Log("a line")
		stream.Close()
		synctest.Wait()
		golden(t, "stream.jsonl", out.Bytes())
		if bytes.Contains(out.Bytes(), []byte("hunter2")) {
			t.Error("a sensitive value is in the stream")
		}
	})
}

// timed is something that happens after a while.
type timed struct {
	engine.Progress
	after time.Duration
}
