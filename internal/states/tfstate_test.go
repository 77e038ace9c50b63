package states

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestRoundTrip holds that files which Terraform 1.11.4 wrote come out byte for
// byte.
func TestRoundTrip(t *testing.T) {
	files, err := filepath.Glob("testdata/roundtrip/*.tfstate")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			state, err := Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Encode(state)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("differs:\n%s", got)
			}
		})
	}
}
