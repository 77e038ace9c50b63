package asl

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// TestRecordedTestStates compares answers of TestState with the recordings.
func TestRecordedTestStates(t *testing.T) {
	data, err := os.ReadFile("testdata/teststate.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		ID       string          `json:"id"`
		Request  json.RawMessage `json:"request"`
		Expected json.RawMessage `json:"expected"`
		Effects  string          `json:"effects"`
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, c := range cases {
		_, name, _ := strings.Cut(c.ID, "::")
		got, err := TestState(c.Request, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		if err != nil {
			t.Errorf("%s: %s", name, err)
			continue
		}
		if d := same(decoded(t, c.Expected), got, ""); d != "" {
			if c.Effects != "service" {
				t.Errorf("%s\n\t%s", name, d)
			}
			continue
		}
		good++
	}
	t.Logf("%d of %d", good, len(cases))
}
