package asl

import (
	"encoding/json"
	"os"
	"testing"
)

// TestRecordedValidations compares what is refused, and of the API that tells
// them the diagnostics, with the recordings.
func TestRecordedValidations(t *testing.T) {
	data, err := os.ReadFile("testdata/validation.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		ID             string          `json:"id"`
		Type           string          `json:"type"`
		Definition     json.RawMessage `json:"definition"`
		DefinitionText *string         `json:"definitionText"`
		Expected       struct {
			Error       string       `json:"error"`
			Result      string       `json:"result"`
			Diagnostics []Diagnostic `json:"diagnostics"`
		} `json:"expected"`
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, c := range cases {
		definition := []byte(c.Definition)
		if c.DefinitionText != nil {
			definition = []byte(*c.DefinitionText)
		}
		got := Validate(definition, Options{Express: c.Type == "EXPRESS"})
		refused := c.Expected.Error != "" || c.Expected.Result == "FAIL"
		a, _ := json.Marshal(c.Expected.Diagnostics)
		b, _ := json.Marshal(got)
		switch {
		case refused != (len(got) > 0):
			t.Logf("%s: refused is %t: %s", c.ID, len(got) > 0, b)
		case c.Expected.Diagnostics != nil && string(a) != string(b):
			t.Logf("%s: want %s, got %s", c.ID, a, b)
		default:
			good++
		}
	}
	t.Logf("%d of %d", good, len(cases))
	if good != len(cases) {
		t.Fail()
	}
}

// TestRecordedDefinitionsAreValid holds the validator against definitions that
// the service took.
func TestRecordedDefinitionsAreValid(t *testing.T) {
	for _, r := range recordings(t) {
		if got := Validate(r.Definition, Options{Express: r.Type == "EXPRESS"}); len(got) > 0 {
			t.Errorf("%s: %v", r.ID, got)
		}
	}
}
