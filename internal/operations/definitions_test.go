package operations

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/project"
)

// TestVariablesSideBySide: many runs of one project begin at once, each of which reads
// the files of values.
func TestVariablesSideBySide(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"p" + projects.Suffix: "variable \"size\" {\n  type = number\n}\n", "terraform.tfvars": "size = 3\n", "more.auto.tfvars": "size = 4\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, diags := projects.Load(dir)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for range 20 {
				values, diags := VariableValues(p, configs.WholeProject, p.Variables, "", &project.VariableOptions{})
				if diags.HasErrors() || values["size"].AsBigFloat().String() != "4" {
					t.Errorf("%#v, %v", values, diags.Err())
				}
			}
		})
	}
	all.Wait()
	if len(p.Files) != 1 {
		t.Errorf("the project has %d files", len(p.Files))
	}
}
