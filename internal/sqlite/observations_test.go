package sqlite

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// TestObservations: a document and its events are written together or not at all,
// and go with their environment.
func TestObservations(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := states.Key{Stack: "shop", Environment: "prod"}
	if document, err := s.Observation(t.Context(), key); document != nil || err != nil {
		t.Fatalf("of what nobody has looked at is known: %s, %v", document, err)
	}
	set := func(want, next string, told ...events.Event) error {
		return s.Observe(t.Context(), key, func(document json.RawMessage) (json.RawMessage, []events.Event, error) {
			if string(document) != want {
				t.Errorf("the document is %s, not %s", document, want)
			}
			if next == "" {
				return nil, told, errors.New("no")
			}
			return json.RawMessage(next), told, nil
		})
	}
	for _, err := range []error{set("", "1", events.Event{Type: "drift.found"}), set("1", "2")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := set("2", "", events.Event{Type: "drift.resolved"}); err == nil || err.Error() != "no" {
		t.Errorf("the error is %v", err)
	}
	all, err := s.Observations(t.Context())
	if err != nil || len(all) != 1 || string(all[key]) != "2" {
		t.Errorf("known is %v, %v", all, err)
	}
	list, _, err := s.Events(t.Context(), 0, 0)
	if err != nil || len(list) != 1 || list[0].Type != "drift.found" {
		t.Errorf("told was %v, %v", list, err)
	}

	// A run is made with what is told of it, or neither.
	n := runs.NewRun{Run: runs.Run{ID: "repair", Kind: runs.WorkflowKind, Key: states.Key{Environment: "other"}, Status: runs.Pending, Blob: "definition/a"}, Definition: []byte("a")}
	repair := func(next string) error {
		return s.Observe(t.Context(), key, func(json.RawMessage) (json.RawMessage, []events.Event, error) {
			return json.RawMessage(next), []events.Event{{Type: "drift.found"}}, nil
		}, n)
	}
	if err := repair("3"); err != nil {
		t.Fatal(err)
	}
	if run, err := s.Run(t.Context(), "repair"); err != nil || run.Status != runs.Pending {
		t.Errorf("the run is %+v, %v", run, err)
	}
	if err := repair("4"); !errors.Is(err, states.ErrExists) {
		t.Errorf("the same run once more: %v", err)
	}
	document, err := s.Observation(t.Context(), key)
	if list, _, _ := s.Events(t.Context(), 0, 0); err != nil || string(document) != "3" || len(list) != 2 {
		t.Errorf("known is %s, %v; told was %v", document, err, list)
	}

	if err := s.Write(t.Context(), key, states.Write{}); err != nil { // makes the environment
		t.Fatal(err)
	}
	if err := s.DeleteEnvironment(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if document, err := s.Observation(t.Context(), key); document != nil || err != nil {
		t.Errorf("of an environment that was deleted is known: %s, %v", document, err)
	}
}

func TestOneObserver(t *testing.T) {
	dir := t.TempDir()
	var stores [2]*Store
	for i := range stores {
		s, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		stores[i] = s
	}
	release, err := stores[0].LockObserver()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stores[1].LockObserver(); !errors.Is(err, runs.ErrHeld) {
		t.Errorf("a second observer is met with %v", err)
	}
	release()
	release, err = stores[1].LockObserver()
	if err != nil {
		t.Fatal(err)
	}
	release()
}
