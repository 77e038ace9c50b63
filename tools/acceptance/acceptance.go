// Package acceptance runs acceptance tests of providers, written with
// terraform-plugin-testing, through the programs that are there: Tutti, and
// Terraform where it is installed. The tests are the providers' and the program's
// at once: plugin-testing drives the program with the flags, the environment and
// the expectations of the public provider ecosystem.
package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TuttiVariable is the environment variable that names the tutti binary to test.
// Without it, that is bin/tutti of the repository, where "make build" puts it.
const TuttiVariable = "TUTTI_BINARY"

// program is a binary that acts as terraform.
type program struct{ name, path string }

// EachProgram runs test once for tutti and once for terraform, if that is in the
// path, each as a subtest with the environment that makes plugin-testing use it.
// Without TF_ACC the test is skipped, as acceptance tests are. A missing tutti
// fails the test. The test must not be parallel: plugin-testing takes the program
// from the environment.
func EachProgram(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if os.Getenv("TF_ACC") == "" {
		t.Skip("acceptance tests run where TF_ACC is set")
	}
	for _, p := range programs(t) {
		t.Run(p.name, func(t *testing.T) {
			t.Setenv("TF_ACC_TERRAFORM_PATH", p.path)
			// Nobody's own settings: the mirrors, caches and hooks of whoever runs
			// the tests would be tested otherwise.
			settings := filepath.Join(t.TempDir(), "settings.tfrc")
			if err := os.WriteFile(settings, []byte("disable_checkpoint = true\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TF_CLI_CONFIG_FILE", settings)
			// plugin-testing copies the state file for tests of import blocks.
			t.Setenv("TUTTI_STATE_FILE", "on")
			for _, name := range []string{"TF_DATA_DIR", "TF_WORKSPACE", "TF_CLI_ARGS", "TF_PLUGIN_CACHE_DIR"} {
				t.Setenv(name, "") // so that it is put back
				_ = os.Unsetenv(name)
			}
			test(t)
		})
	}
}

// programs lists the binaries to test.
func programs(t *testing.T) []program {
	t.Helper()
	tutti := os.Getenv(TuttiVariable)
	if tutti == "" {
		tutti = filepath.Join(repository(t), "bin", "tutti")
	}
	tutti, err := filepath.Abs(tutti)
	if err == nil {
		_, err = os.Stat(tutti)
	}
	if err != nil {
		t.Fatalf("there is no tutti to test: %v; make build makes one, %s names another", err, TuttiVariable)
	}
	list := []program{{"tutti", tutti}}
	if terraform, err := exec.LookPath("terraform"); err == nil {
		list = append(list, program{"terraform", terraform})
	}
	return list
}

// repository is the root: the folder above the one with the module of tools.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Dir(dir)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("the tests do not run within the repository")
		}
		dir = parent
	}
}
