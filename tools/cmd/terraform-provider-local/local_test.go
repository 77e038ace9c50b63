package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/tutti-dev/tutti/tools/acceptance"
)

// factories serves the provider, which the older SDK makes, from within the test.
func factories() map[string]func() (tfprotov5.ProviderServer, error) {
	return map[string]func() (tfprotov5.ProviderServer, error){
		"local": func() (tfprotov5.ProviderServer, error) { return provider().GRPCProvider(), nil },
	}
}

// holds checks what is in a file.
func holds(name, want string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		data, err := os.ReadFile(name)
		if err == nil && string(data) != want {
			err = fmt.Errorf("%s holds %q, not %q", name, data, want)
		}
		return err
	}
}

// gone checks that a file is not there any more.
func gone(names ...string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		for _, name := range names {
			if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("%s is still there (%v)", name, err)
			}
		}
		return nil
	}
}

func TestFile(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		configuration := `
variable "name" {
  type = string
}
variable "content" {
  type = string
}
resource "local_file" "this" {
  filename        = var.name
  content         = var.content
  file_permission = "0640"
}
data "local_file" "this" {
  filename = local_file.this.filename
}
output "read" {
  value = data.local_file.this.content
}`
		const address = "local_file.this"
		first, second := filepath.Join(t.TempDir(), "deep", "first.txt"), filepath.Join(t.TempDir(), "second.txt")
		variables := func(name, content string) config.Variables {
			return config.Variables{"name": config.StringVariable(filepath.ToSlash(name)), "content": config.StringVariable(content)}
		}
		action := func(a plancheck.ResourceActionType) resource.ConfigPlanChecks {
			return resource.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, a)},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			}
		}
		read := func(text string) []statecheck.StateCheck {
			return []statecheck.StateCheck{
				statecheck.ExpectKnownOutputValue("read", knownvalue.StringExact(text)),
				statecheck.ExpectKnownValue("data."+address, tfjsonpath.New("content"), knownvalue.StringExact(text)),
			}
		}
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			CheckDestroy:             gone(first, second),
			Steps: []resource.TestStep{
				{
					Config: configuration, ConfigVariables: variables(first, "hello"),
					ConfigPlanChecks: action(plancheck.ResourceActionCreate), ConfigStateChecks: read("hello"),
					Check: resource.ComposeAggregateTestCheckFunc(
						holds(first, "hello"),
						resource.TestCheckResourceAttr(address, "file_permission", "0640"),
						resource.TestCheckResourceAttr(address, "directory_permission", "0777"),
						resource.TestCheckResourceAttrPair(address, "id", "data."+address, "id"),
						resource.TestCheckNoResourceAttr(address, "source"),
						resource.TestCheckOutput("read", "hello"),
					),
				},
				{
					Config: configuration, ConfigVariables: variables(first, "good bye"),
					ConfigPlanChecks: action(plancheck.ResourceActionReplace), ConfigStateChecks: read("good bye"),
					Check: holds(first, "good bye"),
				},
				{
					Config: configuration, ConfigVariables: variables(second, "good bye"),
					ConfigPlanChecks: action(plancheck.ResourceActionDestroyBeforeCreate),
					Check:            resource.ComposeAggregateTestCheckFunc(gone(first), holds(second, "good bye")),
				},
				{
					// Somebody else removes the file: the plan finds out and makes it anew.
					PreConfig: func() {
						if err := os.Remove(second); err != nil {
							t.Fatal(err)
						}
					},
					Config: configuration, ConfigVariables: variables(second, "good bye"),
					ConfigPlanChecks: action(plancheck.ResourceActionCreate),
					Check:            holds(second, "good bye"),
				},
				{
					// Somebody else changes it: a refresh alone finds that it is no longer the same.
					PreConfig: func() {
						if err := os.WriteFile(second, []byte("other"), 0o600); err != nil {
							t.Fatal(err)
						}
					},
					RefreshState: true, ExpectNonEmptyPlan: true, ConfigVariables: variables(second, "good bye"),
					RefreshPlanChecks: resource.RefreshPlanChecks{PostRefresh: []plancheck.PlanCheck{
						plancheck.ExpectResourceAction(address, plancheck.ResourceActionCreate),
					}},
				},
				{
					Config: configuration, ConfigVariables: variables(second, "good bye"), Destroy: true,
				},
			},
		})
	})
}

// What is secret stays so in plan and state, wherever it goes.
func TestSensitive(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "secret")
		const address = "local_file.this"
		configuration := `
resource "local_file" "this" {
  filename          = "` + filepath.ToSlash(name) + `"
  sensitive_content = "pssst"
}
output "content" {
  value     = local_file.this.sensitive_content
  sensitive = true
}`
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			CheckDestroy:             gone(name),
			Steps: []resource.TestStep{
				{
					Config: configuration,
					ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
						plancheck.ExpectSensitiveValue(address, tfjsonpath.New("sensitive_content")),
					}},
					ConfigStateChecks: []statecheck.StateCheck{
						statecheck.ExpectSensitiveValue(address, tfjsonpath.New("sensitive_content")),
						statecheck.ExpectKnownOutputValue("content", knownvalue.StringExact("pssst")),
					},
					Check: holds(name, "pssst"),
				},
				{
					Config:      strings.Replace(configuration, "sensitive = true", "sensitive = false", 1),
					ExpectError: regexp.MustCompile(`Output refers to sensitive values`),
				},
			},
		})
	})
}

// A module whose files come from a folder, called several times.
func TestDirectory(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		folder, configurations := t.TempDir(), t.TempDir()
		text := `
variable "folder" {
  type = string
}
resource "local_file" "this" {
  count    = 3
  filename = "${var.folder}/${count.index}"
  content  = "file ${count.index}"
}
output "names" {
  value = local_file.this[*].filename
}`
		if err := os.WriteFile(filepath.Join(configurations, "main.tf"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		slashed := filepath.ToSlash(folder)
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			CheckDestroy:             gone(filepath.Join(folder, "0"), filepath.Join(folder, "1"), filepath.Join(folder, "2")),
			Steps: []resource.TestStep{{
				ConfigDirectory: config.StaticDirectory(configurations),
				ConfigVariables: config.Variables{"folder": config.StringVariable(slashed)},
				Check:           holds(filepath.Join(folder, "2"), "file 2"),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownOutputValue("names", knownvalue.ListSizeExact(3)),
					statecheck.ExpectKnownOutputValueAtPath("names", tfjsonpath.New(1), knownvalue.StringExact(slashed+"/1")),
				},
			}},
		})
	})
}

func TestErrors(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		missing := filepath.ToSlash(filepath.Join(t.TempDir(), "missing"))
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			Steps: []resource.TestStep{
				{
					Config:      "resource \"local_file\" \"this\" {\n  filename = \"x\"\n  content = \"a\"\n  source = \"b\"\n}",
					ExpectError: regexp.MustCompile(`(?s)Conflicting configuration arguments.*"content":\s+conflicts\s+with\s+source`),
				},
				{
					Config:      `data "local_file" "this" { filename = "` + missing + `" }`,
					ExpectError: regexp.MustCompile(`(?s)no\s+such\s+file\s+or\s+directory`),
				},
				{
					Config:      "resource \"local_file\" \"this\" {\n  filename = \"" + missing + "\"\n  file_permission = \"rwx\"\n}",
					ExpectError: regexp.MustCompile(`(?s)file_permission:.*invalid\s+syntax`),
				},
			},
		})
	})
}

// The provider's schemas are consistent, as the SDK sees it.
func TestProvider(t *testing.T) {
	if err := provider().InternalValidate(); err != nil {
		t.Fatal(err)
	}
}
