package main

import (
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
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/tutti-dev/tutti/tools/acceptance"
)

// factories serves the provider from within the test.
func factories() map[string]func() (tfprotov5.ProviderServer, error) {
	return map[string]func() (tfprotov5.ProviderServer, error){
		"null": providerserver.NewProtocol5WithError(nullProvider{}),
	}
}

func TestResource(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		configuration := `
variable "trigger" {
  type    = string
  default = null
}
resource "null_resource" "this" {
  triggers = var.trigger == null ? null : { value = var.trigger }
}
output "id" {
  value = null_resource.this.id
}`
		const address = "null_resource.this"
		same, other := statecheck.CompareValue(compare.ValuesSame()), statecheck.CompareValue(compare.ValuesDiffer())
		id := tfjsonpath.New("id")
		expect := func(action plancheck.ResourceActionType) resource.ConfigPlanChecks {
			return resource.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			}
		}
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			Steps: []resource.TestStep{
				{
					Config:           configuration,
					ConfigPlanChecks: expect(plancheck.ResourceActionCreate),
					ConfigStateChecks: []statecheck.StateCheck{
						same.AddStateValue(address, id),
						other.AddStateValue(address, id),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("triggers"), knownvalue.Null()),
						statecheck.ExpectKnownOutputValue("id", knownvalue.StringRegexp(regexp.MustCompile(`^[0-9]+$`))),
					},
				},
				{
					Config:            configuration,
					ConfigPlanChecks:  expect(plancheck.ResourceActionNoop),
					ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(address, id)},
				},
				{
					Config:          configuration,
					ConfigVariables: config.Variables{"trigger": config.StringVariable("now")},
					ConfigPlanChecks: resource.ConfigPlanChecks{
						PreApply: []plancheck.PlanCheck{
							plancheck.ExpectResourceAction(address, plancheck.ResourceActionReplace),
							plancheck.ExpectUnknownValue(address, id),
							plancheck.ExpectUnknownOutputValue("id"),
						},
					},
					ConfigStateChecks: []statecheck.StateCheck{
						other.AddStateValue(address, id),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("triggers"), knownvalue.MapExact(map[string]knownvalue.Check{
							"value": knownvalue.StringExact("now"),
						})),
					},
				},
				{
					Config:           configuration,
					ConfigVariables:  config.Variables{"trigger": config.StringVariable("now")},
					Taint:            []string{address},
					ConfigPlanChecks: expect(plancheck.ResourceActionDestroyBeforeCreate),
				},
			},
		})
	})
}

func TestData(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		const address = "data.null_data_source.this"
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			Steps: []resource.TestStep{{
				Config: `
data "null_data_source" "this" {
  inputs = { greeting = "hello" }
}
output "greeting" {
  value = data.null_data_source.this.outputs["greeting"]
}`,
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue(address, tfjsonpath.New("outputs").AtMapKey("greeting"), knownvalue.StringExact("hello")),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("has_computed_default"), knownvalue.StringExact("default")),
					statecheck.ExpectKnownOutputValue("greeting", knownvalue.StringExact("hello")),
				},
			}},
		})
	})
}

func TestErrors(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			Steps: []resource.TestStep{
				{
					Config:      `resource "null_resource" "this" { triggers = "none" }`,
					ExpectError: regexp.MustCompile(`(?s)Incorrect attribute value type.*map of string required`),
				},
				{
					Config:      `resource "null_resource" "this" { tigers = {} }`,
					ExpectError: regexp.MustCompile(`(?s)Unsupported argument.*An argument named "tigers" is not expected here`),
				},
				{
					// Nothing of it can be imported, which the provider says.
					Config:        `resource "null_resource" "this" {}`,
					ResourceName:  "null_resource.this",
					ImportState:   true,
					ImportStateId: "1",
					ExpectError:   regexp.MustCompile(`(?s)Import Not Implemented`),
				},
			},
		})
	})
}
