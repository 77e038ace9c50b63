package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/tutti-dev/tutti/tools/acceptance"
)

// mock is a provider with its objects in a folder of the test.
type mock struct{ dir string }

func newMock(t *testing.T, dynamic string) mock {
	t.Helper()
	m := mock{t.TempDir()}
	m.write(t, "dynamic_resources.json", dynamic)
	return m
}

func (m mock) write(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// factories serves the provider from within the test.
func (m mock) factories() map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"tfcoremock": func() (tfprotov6.ProviderServer, error) {
			s, err := newServer(filepath.Join(m.dir, "dynamic_resources.json"))
			if err != nil {
				return nil, err
			}
			s.objects, s.records = store{filepath.Join(m.dir, "resource")}, store{filepath.Join(m.dir, "data")}
			return s, nil
		},
	}
}

// empty checks that no object is left.
func (m mock) empty(*terraform.State) error {
	left, err := filepath.Glob(filepath.Join(m.dir, "resource", "*"))
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("objects are left: %v", left)
	}
	return err
}

// expect wants an action, then what else, and nothing more to do after the apply.
func expect(address string, action plancheck.ResourceActionType, more ...plancheck.PlanCheck) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             append([]plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}, more...),
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

// Create, change in place, replace, import, and what happens when somebody
// deletes the object.
func TestLife(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		m := newMock(t, `{}`)
		configuration := `
variable "id" {
  type = string
}
variable "text" {
  type = string
}
resource "tfcoremock_simple_resource" "this" {
  id      = var.id
  string  = var.text
  bool    = true
  number  = 12345678901234567890.25
  integer = 7
}
output "text" {
  value = upper(tfcoremock_simple_resource.this.string)
}`
		const address = "tfcoremock_simple_resource.this"
		variables := func(id, text string) config.Variables {
			return config.Variables{"id": config.StringVariable(id), "text": config.StringVariable(text)}
		}
		id := statecheck.CompareValue(compare.ValuesDiffer())
		resource.Test(t, resource.TestCase{
			ProtoV6ProviderFactories: m.factories(),
			CheckDestroy:             m.empty,
			Steps: []resource.TestStep{
				{
					Config: configuration, ConfigVariables: variables("one", "a"),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionCreate, plancheck.ExpectKnownOutputValue("text", knownvalue.StringExact("A"))),
					ConfigStateChecks: []statecheck.StateCheck{
						id.AddStateValue(address, tfjsonpath.New("id")),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("float"), knownvalue.Null()),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("integer"), knownvalue.Int64Exact(7)),
						statecheck.ExpectKnownOutputValue("text", knownvalue.StringExact("A")),
					},
				},
				{
					Config: configuration, ConfigVariables: variables("one", "b"),
					ConfigPlanChecks:  expect(address, plancheck.ResourceActionUpdate, plancheck.ExpectKnownValue(address, tfjsonpath.New("string"), knownvalue.StringExact("b"))),
					ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownOutputValue("text", knownvalue.StringExact("B"))},
				},
				{ResourceName: address, ImportState: true, ImportStateVerify: true, ConfigVariables: variables("one", "b")},
				{ResourceName: address, ImportState: true, ImportStateKind: resource.ImportBlockWithID, ConfigVariables: variables("one", "b")},
				{
					// An import block that plans a change says so.
					ResourceName: address, ImportState: true, ImportStateKind: resource.ImportBlockWithID, ConfigVariables: variables("one", "c"),
					ExpectError: regexp.MustCompile(`(?s)expected a no-op import operation, got \["update"\] action`),
				},
				{
					Config: configuration, ConfigVariables: variables("two", "b"),
					ConfigPlanChecks:  expect(address, plancheck.ResourceActionDestroyBeforeCreate),
					ConfigStateChecks: []statecheck.StateCheck{id.AddStateValue(address, tfjsonpath.New("id"))},
				},
				{
					PreConfig: func() {
						if err := os.Remove(filepath.Join(m.dir, "resource", "two.json")); err != nil {
							t.Fatal(err)
						}
					},
					Config: configuration, ConfigVariables: variables("two", "b"), PlanOnly: true, ExpectNonEmptyPlan: true,
				},
				{
					Config: configuration, ConfigVariables: variables("two", "b"),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionCreate),
				},
			},
		})
	})
}

// A type of its own: computed, sensitive and nested attributes, blocks, and one
// inside that replaces.
const boxes = `{"tfcoremock_box": {
  "attributes": {
    "made":   {"type": "string", "computed": true, "value": {"string": "by the provider"}},
    "secret": {"type": "string", "optional": true, "sensitive": true},
    "inner":  {"type": "object", "optional": true, "object": {
      "size":  {"type": "number", "optional": true},
      "color": {"type": "string", "optional": true, "replace": true}
    }},
    "tags":   {"type": "set", "optional": true, "set": {"type": "string"}},
    "limits": {"type": "map", "optional": true, "map": {"type": "integer"}}
  },
  "blocks": {"rule": {"mode": "list", "attributes": {"port": {"type": "integer", "required": true}}}}
}}`

func TestNested(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		m := newMock(t, boxes)
		configuration := func(size int, color string, ports string) string {
			return fmt.Sprintf(`
resource "tfcoremock_box" "this" {
  id     = "box"
  secret = "pssst"
  inner  = { size = %d, color = %q }
  tags   = ["b", "a", "b"]
  limits = { cpu = 2, "memory/MB" = 512 }
  dynamic "rule" {
    for_each = %s
    content {
      port = rule.value
    }
  }
}
output "ports" {
  value = tfcoremock_box.this.rule[*].port
}`, size, color, ports)
		}
		const address = "tfcoremock_box.this"
		resource.Test(t, resource.TestCase{
			ProtoV6ProviderFactories: m.factories(),
			CheckDestroy:             m.empty,
			Steps: []resource.TestStep{
				{
					Config:      configuration(2, "blue", `["http"]`),
					ExpectError: regexp.MustCompile(`(?s)Incorrect attribute value type.*a number is\s+required`),
				},
				{
					Config: configuration(1, "red", "[80, 443]"),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionCreate,
						plancheck.ExpectUnknownValue(address, tfjsonpath.New("made")),
						plancheck.ExpectSensitiveValue(address, tfjsonpath.New("secret")),
						plancheck.ExpectKnownValue(address, tfjsonpath.New("rule").AtSliceIndex(1).AtMapKey("port"), knownvalue.Int64Exact(443)),
					),
					ConfigStateChecks: []statecheck.StateCheck{
						statecheck.ExpectKnownValue(address, tfjsonpath.New("made"), knownvalue.StringExact("by the provider")),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("tags"), knownvalue.SetExact([]knownvalue.Check{knownvalue.StringExact("a"), knownvalue.StringExact("b")})),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("limits").AtMapKey("memory/MB"), knownvalue.Int64Exact(512)),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("inner"), knownvalue.ObjectExact(map[string]knownvalue.Check{
							"size": knownvalue.Int64Exact(1), "color": knownvalue.StringExact("red"),
						})),
						statecheck.ExpectSensitiveValue(address, tfjsonpath.New("secret")),
						statecheck.ExpectKnownOutputValue("ports", knownvalue.ListExact([]knownvalue.Check{knownvalue.Int64Exact(80), knownvalue.Int64Exact(443)})),
					},
				},
				{ResourceName: address, ImportState: true, ImportStateVerify: true},
				{
					Config:           configuration(2, "red", "[80]"),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionUpdate, plancheck.ExpectKnownOutputValueAtPath("ports", tfjsonpath.New(0), knownvalue.Int64Exact(80))),
				},
				{
					Config:           configuration(2, "blue", "[80]"),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionReplace),
				},
			},
		})
	})
}

// What depends on a new object is made before the old one goes, where the
// configuration says so, and an object that only has another name stays.
func TestOrder(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		m := newMock(t, `{}`)
		configuration := func(label, id, more string) string {
			return fmt.Sprintf(`
resource "tfcoremock_simple_resource" %[1]q {
  id = %[2]q
  lifecycle {
    create_before_destroy = true
  }
}
resource "tfcoremock_simple_resource" "user" {
  id     = "user"
  string = tfcoremock_simple_resource.%[1]s.id
}
%[3]s`, label, id, more)
		}
		const base, renamed, user = "tfcoremock_simple_resource.base", "tfcoremock_simple_resource.ground", "tfcoremock_simple_resource.user"
		resource.Test(t, resource.TestCase{
			ProtoV6ProviderFactories: m.factories(),
			CheckDestroy:             m.empty,
			Steps: []resource.TestStep{
				{Config: configuration("base", "one", "")},
				{
					Config: configuration("base", "two", ""),
					ConfigPlanChecks: expect(base, plancheck.ResourceActionCreateBeforeDestroy,
						plancheck.ExpectResourceAction(user, plancheck.ResourceActionUpdate)),
				},
				{
					Config: configuration("ground", "two", "moved {\n  from = "+base+"\n  to   = "+renamed+"\n}"),
					ConfigPlanChecks: expect(renamed, plancheck.ResourceActionNoop,
						plancheck.ExpectResourceAction(user, plancheck.ResourceActionNoop)),
				},
				{
					Config: "removed {\n  from = " + renamed + "\n  lifecycle {\n    destroy = false\n  }\n}\n" +
						"removed {\n  from = " + user + "\n  lifecycle {\n    destroy = true\n  }\n}",
					ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
						plancheck.ExpectResourceAction(user, plancheck.ResourceActionDestroy),
					}},
					Check: func(*terraform.State) error {
						// Forgotten is not destroyed.
						return os.Remove(filepath.Join(m.dir, "resource", "two.json"))
					},
				},
			},
		})
	})
}

// A data source is read while planning, or after what it depends on.
func TestData(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		m := newMock(t, `{}`)
		m.write(t, "data/record.json", `{"values": {"id": {"string": "record"}, "string": {"string": "recorded"}, "integer": {"number": "3"}}}`)
		const address, read = "tfcoremock_simple_resource.copies[1]", "data.tfcoremock_simple_resource.this"
		configuration := func(name, depends string) string {
			return fmt.Sprintf(`
data "tfcoremock_simple_resource" "this" {
  id = %q
  %s
}
resource "tfcoremock_simple_resource" "first" {
  id = "first"
}
resource "tfcoremock_simple_resource" "copies" {
  count  = 2
  id     = "copy-${count.index}"
  string = data.tfcoremock_simple_resource.this.string
}`, name, depends)
		}
		resource.Test(t, resource.TestCase{
			ProtoV6ProviderFactories: m.factories(),
			CheckDestroy:             m.empty,
			Steps: []resource.TestStep{
				{Config: configuration("missing", ""), ExpectError: regexp.MustCompile(`(?s)there\s+is\s+no\s+data\s+with\s+the\s+id\s+"missing"`)},
				{
					Config: configuration("record", "depends_on = [tfcoremock_simple_resource.first]"),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionCreate,
						plancheck.ExpectResourceAction(read, plancheck.ResourceActionRead),
						plancheck.ExpectUnknownValue(address, tfjsonpath.New("string"))),
					ConfigStateChecks: []statecheck.StateCheck{
						statecheck.ExpectKnownValue(read, tfjsonpath.New("integer"), knownvalue.Int64Exact(3)),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("string"), knownvalue.StringExact("recorded")),
					},
				},
				{
					PreConfig: func() {
						m.write(t, "data/record.json", `{"values": {"id": {"string": "record"}, "string": {"string": "changed"}}}`)
					},
					Config: configuration("record", "depends_on = [tfcoremock_simple_resource.first]"),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionUpdate,
						plancheck.ExpectKnownValue(address, tfjsonpath.New("string"), knownvalue.StringExact("changed"))),
				},
			},
		})
	})
}
