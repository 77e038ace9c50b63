package configs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// fuzzSeeds are configurations to start from.
func fuzzSeeds(f *testing.F, add func(src []byte)) {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("..", "..", "testdata", "equivalence", "tests", "*", "*.tf"))
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		add(src)
	}
	for _, text := range []string{
		"variable \"x\" {\n  type = object({ a = optional(string, \"b\"), c = list(any) })\n  validation {\n    condition = var.x.a != \"\"\n    error_message = \"no\"\n  }\n}\n",
		"resource \"a_b\" \"c\" {\n  for_each = toset([\"x\"])\n  lifecycle {\n    ignore_changes = [a[0].b, tags[\"k\"]]\n    replace_triggered_by = [a_b.d[each.key]]\n  }\n  provisioner \"local-exec\" {\n    when = destroy\n    command = self.id\n  }\n}\n",
		"moved {\n  from = module.a[\"x\"].b_c.d\n  to = b_c.d[0]\n}\nremoved {\n  from = a_b.c\n  lifecycle {\n    destroy = false\n  }\n}\nimport {\n  for_each = { a = 1 }\n  to = a_b.c[each.key]\n  identity = { name = \"n\" }\n}\n",
		"module \"m\" {\n  source = \"./m\"\n  providers = { a = a.b, c.d = c }\n  depends_on = [a_b.c]\n}\ncheck \"c\" {\n  data \"a_b\" \"c\" {}\n  assert {\n    condition = true\n    error_message = \"${data.a_b.c.id}\"\n  }\n}\n",
		"run \"a\" {\n  command = plan\n  plan_options {\n    mode = refresh-only\n    target = [a_b.c]\n  }\n  expect_failures = [var.x, check.y]\n}\nmock_provider \"a\" {\n  mock_resource \"a_b\" {\n    defaults = { id = \"x\" }\n  }\n}\noverride_resource {\n  target = a_b.c\n  values = {}\n}\n",
	} {
		add([]byte(text))
	}
}

// FuzzLoad reads anything as configuration and as tests: there may be any number
// of problems, each of them in a place of the file, and no panic.
func FuzzLoad(f *testing.F) {
	fuzzSeeds(f, func(src []byte) { f.Add(src) })
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, name := range []string{"main.tf", "main.tf.json"} {
			_, diags := Load(".", LoadOptions{Snapshot: map[string][]byte{name: src}, TerraformVersion: "1.15.0"})
			for _, d := range diags {
				if s := d.Subject; s != nil && s.Filename == name && (s.Start.Byte < 0 || s.End.Byte > len(src)+1) {
					t.Errorf("%s points outside of the file: %v", d.Summary, s)
				}
			}
		}
		dir := t.TempDir()
		for _, name := range []string{"a.tftest.hcl", "a.tftest.json"} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, src, 0o600); err != nil {
				t.Fatal(err)
			}
			LoadTestFile(path)
		}
	})
}

// FuzzFormat formats anything: a second time nothing changes.
func FuzzFormat(f *testing.F) {
	fuzzSeeds(f, func(src []byte) { f.Add(src) })
	f.Fuzz(func(t *testing.T, src []byte) {
		if _, diags := hclsyntax.ParseConfig(src, "main.tf", hcl.InitialPos); diags.HasErrors() {
			return
		}
		once := Format(src)
		if _, diags := hclsyntax.ParseConfig(once, "main.tf", hcl.InitialPos); diags.HasErrors() {
			t.Fatalf("formatted, it can no longer be read: %v\n%s", diags, once)
		}
		if twice := Format(once); !bytes.Equal(once, twice) {
			t.Errorf("formatted twice it is\n%s\nnot\n%s", twice, once)
		}
	})
}
