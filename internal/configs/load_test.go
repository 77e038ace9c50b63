package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/tutti-dev/tutti/internal/addrs"
)

// load writes the files of a txtar archive to a folder and loads it.
func load(t *testing.T, archive string) (*Config, string) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, diags := Load(dir, LoadOptions{TerraformVersion: "1.15.0"})
	var text []string
	for _, d := range diags {
		text = append(text, d.Severity.String()+": "+strings.ReplaceAll(d.Error(), dir+"/", ""))
	}
	return c, strings.Join(text, "\n")
}

func TestLoadEquivalenceCases(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join("..", "..", "testdata", "equivalence", "tests", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatal("no cases", err)
	}
	for _, dir := range dirs {
		if _, diags := Load(dir, LoadOptions{TerraformVersion: "1.15.0"}); diags.HasErrors() {
			t.Errorf("%s: %s", filepath.Base(dir), diags.Err())
		}
	}
}

func TestOverrideFilesMergeArgumentByArgument(t *testing.T) {
	c, problems := load(t, `
-- main.tf --
variable "size" {
  type    = number
  default = 1
}
locals {
  a = 1
  b = 2
}
resource "terraform_data" "x" {
  input = "base"
  lifecycle {
    create_before_destroy = true
    ignore_changes        = [input]
  }
  provisioner "local-exec" {
    command = "base"
  }
}
-- main_override.tf --
variable "size" {
  default = 7
}
locals {
  b = 3
}
resource "terraform_data" "x" {
  input = "override"
  lifecycle {
    ignore_changes = all
  }
  provisioner "local-exec" {
    command = "one"
  }
  provisioner "local-exec" {
    command = "two"
  }
}
`)
	if problems != "" {
		t.Fatal(problems)
	}
	if n, _ := c.Root.Variables["size"].Default.AsBigFloat().Int64(); n != 7 {
		t.Errorf("default is %d", n)
	}
	if v, _ := c.Root.Locals["b"].Expr.Value(nil); v.AsBigFloat().String() != "3" {
		t.Errorf("local b is %s", v.AsBigFloat())
	}
	r := c.Root.Resources[addrs.Resource{Mode: addrs.Managed, Type: "terraform_data", Name: "x"}]
	if r.CreateBeforeDestroy == nil || !*r.CreateBeforeDestroy || !r.IgnoreAll {
		t.Errorf("lifecycle was not merged: %+v", r)
	}
	if len(r.Provisioners) != 2 {
		t.Errorf("%d provisioners, want the two of the override", len(r.Provisioners))
	}
	attrs, _ := r.Config.JustAttributes()
	if v, _ := attrs["input"].Expr.Value(nil); v.AsString() != "override" {
		t.Errorf("input is %s", v.AsString())
	}
}

func TestJSONSyntaxMeansTheSame(t *testing.T) {
	c, problems := load(t, `
-- main.tf.json --
{
  "terraform": {"required_providers": {"null": {"source": "hashicorp/null", "version": "~> 3.0"}}},
  "variable": {"name": {"type": "list(string)", "default": ["a"]}},
  "resource": {
    "null_resource": {
      "x": {
        "depends_on": ["null_resource.y"],
        "triggers": {"a": "${var.name[0]}"},
        "lifecycle": {"ignore_changes": ["triggers"], "replace_triggered_by": ["null_resource.y.id"]},
        "provisioner": [{"local-exec": {"command": "true", "when": "destroy"}}]
      },
      "y": {}
    }
  },
  "moved": {"from": "null_resource.z", "to": "null_resource.y"}
}
`)
	if problems != "" {
		t.Fatal(problems)
	}
	r := c.Root.Resources[addrs.Resource{Mode: addrs.Managed, Type: "null_resource", Name: "x"}]
	if len(r.DependsOn) != 1 || len(r.IgnoreChanges) != 1 || len(r.ReplaceTriggeredBy) != 1 || len(r.ReplaceTriggeredBy[0].Variables()) != 1 {
		t.Errorf("resource is %+v", r)
	}
	if len(r.Provisioners) != 1 || !r.Provisioners[0].OnDestroy {
		t.Errorf("provisioners are %+v", r.Provisioners)
	}
	if len(c.Root.Moved) != 1 {
		t.Errorf("moved is %v", c.Root.Moved)
	}
	if got := c.Root.Variables["name"].Type.FriendlyName(); got != "list of string" {
		t.Errorf("type is %s", got)
	}
}

func TestProblemsAreCollectedWithTheirPlace(t *testing.T) {
	cases := map[string]struct{ files, want string }{
		"several at once": {`
-- main.tf --
variable "source" {}
resource "terraform_data" "a" {
  count    = 1
  for_each = {}
}
resource "terraform_data" "a" {}
output "x" {}
`, `error: main.tf:1,10: Invalid variable name
error: main.tf:4,3: Both count and for_each
error: main.tf:6,1: Duplicate resource
error: main.tf:7,12: Missing required argument`},
		"module calls": {`
-- main.tf --
module "a" {
  source = "./a"
  sise   = 1
}
module "b" {
  source = "example/b/test"
}
module "c" {
  source = "./missing"
}
-- a/main.tf --
variable "size" {}
`, `error: main.tf:6,12: Module not installed
error: main.tf:9,12: Unreadable module directory
error: main.tf:1,1: Missing required argument
error: main.tf:3,3: Unsupported argument`},
		"a module that calls itself": {`
-- main.tf --
module "a" {
  source = "./a"
}
-- a/main.tf --
module "a" {
  source = "../a"
}
`, `error: a/main.tf:2,12: Module calls itself`},
		"required_version": {`
-- main.tf --
terraform {
  required_version = ">= 2.0"
}
`, `error: main.tf:2,22: Unsupported Terraform version`},
		"provider configurations": {`
-- main.tf --
provider "null" {
  alias = "known"
}
resource "null_resource" "a" {
  provider = null.known
}
resource "null_resource" "b" {
  provider = null.unknown
}
module "m" {
  source = "./m"
}
-- m/main.tf --
terraform {
  required_providers {
    null = {
      source                = "hashicorp/null"
      configuration_aliases = [null.wanted]
    }
  }
}
`, `error: main.tf:8,14: Provider configuration not present
error: main.tf:10,1: Missing required provider configuration`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, problems := load(t, c.files)
			var got []string
			for _, line := range strings.Split(problems, "\n") {
				head, _, _ := strings.Cut(line, "; ")
				got = append(got, head)
			}
			if text := strings.Join(got, "\n"); text != c.want {
				t.Errorf("got\n%s\nwant\n%s", text, c.want)
			}
		})
	}
}
