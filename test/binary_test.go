package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var builtBinary string

// TestMain builds the program once for all tests.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tutti-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		builtBinary = filepath.Join(dir, "tutti")
		if out, err := exec.Command("go", "build", "-o", builtBinary, "../cmd/tutti").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "cannot build tutti: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// binary returns the path of the program under test.
func binary(t *testing.T) string {
	t.Helper()
	return builtBinary
}

// providerMirror returns the CLI configuration that installs providers from the
// project's own mirror, which scripts/providers.sh makes.
func providerMirror(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", ".cache", "terraformrc"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no provider mirror: run scripts/providers.sh")
	}
	return path
}
