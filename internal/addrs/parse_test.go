package addrs

import (
	"testing"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// TestQuickIdentifiersAreTheSame compares all short names with HCL's own word.
func TestQuickIdentifiersAreTheSame(t *testing.T) {
	alphabet := []string{"", "a", "Z", "0", "_", "-", ".", " ", "é", "\"", "$"}
	for _, a := range alphabet {
		for _, b := range alphabet {
			for _, c := range alphabet {
				if name := a + b + c; validIdentifier(name) != hclsyntax.ValidIdentifier(name) {
					t.Errorf("validIdentifier(%q) is %v", name, validIdentifier(name))
				}
			}
		}
	}
}

func TestKeysThatDoNotPrint(t *testing.T) {
	for key, want := range map[string]string{
		"a\x1b[2Kb":  `["a\u001b[2Kb"]`,
		"\u202egpj":  `["\u202egpj"]`,
		"\U000e0041": `["\U000e0041"]`,
		"über\x7f":   `["über\u007f"]`,
		"日本":         `["日本"]`,
	} {
		if got := StringKey(key).String(); got != want {
			t.Errorf("%q is %s, want %s", key, got, want)
		}
		back, err := ParseResourceInstance("a.b" + want)
		if err != nil || back.Key != StringKey(key) {
			t.Errorf("%s is read as %#v: %v", want, back, err)
		}
	}
}
