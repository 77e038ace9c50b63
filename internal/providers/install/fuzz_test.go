package install

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzReadFiles reads anything as a lock file and as a CLI configuration.
func FuzzReadFiles(f *testing.F) {
	f.Add([]byte("provider \"registry.terraform.io/hashicorp/a\" {\n  version = \"1.2.3\"\n  constraints = \"~> 1.0\"\n  hashes = [\"h1:x\", \"zh:y\"]\n}\n"))
	f.Add([]byte("provider_installation {\n  filesystem_mirror {\n    path = \"/x\"\n    include = [\"*/*\"]\n  }\n  dev_overrides {\n    \"a/b\" = \"/y\"\n  }\n  direct {}\n}\ncredentials \"x.y\" {\n  token = \"z\"\n}\nhost \"a.b\" {\n  services = {}\n}\n"))
	f.Add([]byte(`{"provider_installation": [{"network_mirror": [{"url": "https://x/"}]}], "credentials": {"a.b": {"token": "t"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		lock := filepath.Join(dir, ".terraform.lock.hcl")
		if err := os.WriteFile(lock, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if locks, diags := ReadLockFile(lock); !diags.HasErrors() {
			if _, err := locks.Write(lock); err != nil {
				t.Fatal(err)
			}
			if _, diags := ReadLockFile(lock); diags.HasErrors() {
				t.Errorf("written again, it can no longer be read: %v", diags.Err())
			}
		}
		for _, name := range []string{"cli.tfrc", "cli.tfrc.json"} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			LoadConfig([]string{"TF_CLI_CONFIG_FILE=" + path, "HOME=" + dir})
		}
	})
}
