package cost

import "testing"

func TestDefaults(t *testing.T) {
	rows, diags := Defaults()
	for _, d := range diags {
		t.Errorf("%s: %s", d.Summary, d.Detail)
	}
	if len(rows) < 500 {
		t.Errorf("only %d rows", len(rows))
	}
}
