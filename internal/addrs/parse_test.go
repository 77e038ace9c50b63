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
