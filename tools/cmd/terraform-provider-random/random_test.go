package main

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
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

// factories serves the provider from within the test.
func factories() map[string]func() (tfprotov5.ProviderServer, error) {
	return map[string]func() (tfprotov5.ProviderServer, error){
		"random": providerserver.NewProtocol5WithError(randomProvider{}),
	}
}

// planned expects an action before the apply and none after it.
func planned(address string, action plancheck.ResourceActionType, more ...plancheck.PlanCheck) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             append([]plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}, more...),
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

// attribute gives an import the value of an attribute of the state, and what
// belongs around it.
func attribute(address, name, format string) resource.ImportStateIdFunc {
	return func(s *terraform.State) (string, error) {
		object := s.RootModule().Resources[address]
		if object == nil || object.Primary.Attributes[name] == "" {
			return "", fmt.Errorf("%s has no %s in the state", address, name)
		}
		return fmt.Sprintf(format, object.Primary.Attributes[name]), nil
	}
}

// A result stays until a keeper changes.
func TestKeepers(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		configuration := `
variable "keepers" {
  type = map(string)
}
resource "random_pet" "this" {
  prefix  = "the"
  length  = 3
  keepers = var.keepers
}
output "pet" {
  value = random_pet.this.id
}`
		const address = "random_pet.this"
		id := tfjsonpath.New("id")
		same, other := statecheck.CompareValue(compare.ValuesSame()), statecheck.CompareValue(compare.ValuesDiffer())
		variables := func(site string) config.Variables {
			return config.Variables{"keepers": config.MapVariable(map[string]config.Variable{"site": config.StringVariable(site)})}
		}
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			Steps: []resource.TestStep{
				{
					Config: configuration, ConfigVariables: variables("hamburg"),
					ConfigPlanChecks: planned(address, plancheck.ResourceActionCreate,
						plancheck.ExpectUnknownValue(address, id), plancheck.ExpectUnknownOutputValue("pet")),
					ConfigStateChecks: []statecheck.StateCheck{
						same.AddStateValue(address, id), other.AddStateValue(address, id),
						statecheck.ExpectKnownOutputValue("pet", knownvalue.StringRegexp(regexp.MustCompile(`^the-[a-z]+-[a-z]+-[a-z]+$`))),
					},
				},
				{
					Config: configuration, ConfigVariables: variables("hamburg"),
					ConfigPlanChecks:  planned(address, plancheck.ResourceActionNoop, plancheck.ExpectEmptyPlan()),
					ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(address, id)},
				},
				{
					Config: configuration, ConfigVariables: variables("lübeck"),
					ConfigPlanChecks:  planned(address, plancheck.ResourceActionReplace, plancheck.ExpectUnknownValue(address, id)),
					ConfigStateChecks: []statecheck.StateCheck{other.AddStateValue(address, id)},
				},
			},
		})
	})
}

// Every kind that can be imported comes back as it was made. What has special
// characters is one long: the test framework writes ids between quotes as they are,
// where "%{" would mean something.
func TestImport(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		configuration := `
resource "random_id" "this" {
  byte_length = 8
  prefix      = "a,b-"
}
resource "random_integer" "this" {
  min  = -5
  max  = 5
  seed = "constant"
}
resource "random_string" "this" {
  length = 1
}
resource "random_password" "this" {
  length = 1
}
resource "random_uuid" "this" {}
resource "random_bytes" "this" {
  length = 32
}`
		imports := func(name string, id resource.ImportStateIdFunc, by string, ignored ...string) resource.TestStep {
			return resource.TestStep{
				ResourceName: name + ".this", ImportState: true, ImportStateIdFunc: id,
				ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: by, ImportStateVerifyIgnore: ignored,
			}
		}
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			Steps: []resource.TestStep{
				{
					Config: configuration,
					ConfigStateChecks: []statecheck.StateCheck{
						statecheck.ExpectKnownValue("random_id.this", tfjsonpath.New("hex"), knownvalue.StringRegexp(regexp.MustCompile(`^a,b-[0-9a-f]{16}$`))),
						statecheck.ExpectKnownValue("random_integer.this", tfjsonpath.New("result"), knownvalue.Int64Func(func(n int64) error {
							if n < -5 || n > 5 {
								return fmt.Errorf("%d is not between -5 and 5", n)
							}
							return nil
						})),
						statecheck.ExpectSensitiveValue("random_password.this", tfjsonpath.New("result")),
						statecheck.ExpectSensitiveValue("random_bytes.this", tfjsonpath.New("base64")),
					},
				},
				imports("random_id", attribute("random_id.this", "id", "a,b-,%s"), "id"),
				imports("random_integer", attribute("random_integer.this", "result", "%s,-5,5,constant"), "id"),
				imports("random_string", attribute("random_string.this", "result", "%s"), "id"),
				// The hash has another salt every time.
				imports("random_password", attribute("random_password.this", "result", "%s"), "id", "bcrypt_hash"),
				imports("random_uuid", attribute("random_uuid.this", "id", "%s"), "id"),
				imports("random_bytes", attribute("random_bytes.this", "base64", "%s"), "hex"),
				{
					ResourceName: "random_uuid.this", ImportState: true, ImportStateId: "no-uuid",
					ExpectError: regexp.MustCompile(`"no-uuid" is not a UUID`),
				},
				{
					// By an import block instead: planned, without a change.
					ResourceName: "random_uuid.this", ImportState: true, ImportStateKind: resource.ImportBlockWithID,
				},
				{
					ResourceName: "random_string.this", ImportState: true, ImportStateKind: resource.ImportBlockWithID,
					ImportPlanChecks: resource.ImportPlanChecks{PreApply: []plancheck.PlanCheck{
						plancheck.ExpectKnownValue("random_string.this", tfjsonpath.New("length"), knownvalue.Int64Exact(1)),
					}},
				},
			},
		})
	})
}

// The same seed gives the same values, now and after the next update.
func TestSeeds(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		pair := statecheck.CompareValuePairs
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			Steps: []resource.TestStep{{
				Config: `
resource "random_integer" "this" {
  count = 2
  min   = 1
  max   = 1000000000
  seed  = "seed"
}
resource "random_shuffle" "this" {
  count        = 2
  input        = ["a", "b", "c", "d", "e", "f"]
  result_count = 4
  seed         = "seed"
}`,
				ConfigStateChecks: []statecheck.StateCheck{
					pair("random_integer.this[0]", tfjsonpath.New("result"), "random_integer.this[1]", tfjsonpath.New("result"), compare.ValuesSame()),
					pair("random_shuffle.this[0]", tfjsonpath.New("result"), "random_shuffle.this[1]", tfjsonpath.New("result"), compare.ValuesSame()),
					statecheck.ExpectKnownValue("random_shuffle.this[0]", tfjsonpath.New("result"), knownvalue.ListSizeExact(4)),
				},
			}},
		})
	})
}

// The two names of one switch follow each other, in place of a new value where
// nothing really changes.
func TestSwitches(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		const address = "random_string.this"
		same := statecheck.CompareValue(compare.ValuesSame())
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			Steps: []resource.TestStep{
				{
					Config:            "resource \"random_string\" \"this\" {\n  length  = 30\n  numeric = false\n}",
					ConfigPlanChecks:  planned(address, plancheck.ResourceActionCreate, plancheck.ExpectKnownValue(address, tfjsonpath.New("number"), knownvalue.Bool(false))),
					ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(address, tfjsonpath.New("result"))},
				},
				{
					Config:            "resource \"random_string\" \"this\" {\n  length = 30\n  number = false\n}",
					ConfigPlanChecks:  planned(address, plancheck.ResourceActionNoop),
					ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(address, tfjsonpath.New("result"))},
				},
			},
		})
	})
}

func TestErrors(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		fails := func(configuration, pattern string) resource.TestStep {
			return resource.TestStep{Config: configuration, ExpectError: regexp.MustCompile(pattern)}
		}
		planFails := fails("resource \"random_string\" \"this\" {\n  length    = 3\n  min_upper = 4\n}", `(?s)Attribute\s+length\s+value\s+must\s+be\s+at\s+least\s+sum\s+of`)
		planFails.PlanOnly = true
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			Steps: []resource.TestStep{
				fails(`resource "random_id" "this" {}`, `The argument "byte_length" is required`),
				fails(`resource "random_id" "this" { byte_length = 0 }`, `(?s)value\s+must\s+be\s+at\s+least\s+1,\s+got:\s+0`),
				planFails,
				fails("resource \"random_integer\" \"this\" {\n  min = 2\n  max = 1\n}", `(?s)Create\s+Random\s+Integer\s+Error`),
				fails("resource \"random_string\" \"this\" {\n  length = 1\n  upper = false\n  lower = false\n  numeric = false\n  special = false\n}", `(?s)the\s+character\s+set\s+specified\s+is\s+empty`),
				fails(`resource "random_cat" "this" {}`, `(?s)does\s+not\s+support\s+resource\s+type`),
			},
		})
	})
}
