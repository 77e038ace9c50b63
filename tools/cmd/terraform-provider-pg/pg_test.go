//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"github.com/hashicorp/terraform-plugin-testing/tfversion"

	"github.com/tutti-dev/tutti/tools/acceptance"
)

// factories serves the provider from within the test.
func factories() map[string]func() (tfprotov5.ProviderServer, error) {
	return map[string]func() (tfprotov5.ProviderServer, error){
		"pg": providerserver.NewProtocol5WithError(pgProvider{}),
	}
}

// expect wants an action, then what else, and nothing more to do after the apply.
func expect(address string, action plancheck.ResourceActionType, more ...plancheck.PlanCheck) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             append([]plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}, more...),
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

// answers checks what the server says to a query.
func (s *server) answers(database, query, want string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		got, err := s.text(database, query)
		if err == nil && got != want {
			err = fmt.Errorf("%s: the server says %q, not %q", query, got, want)
		}
		return err
	}
}

// logsIn checks that a role has a password.
func (s *server) logsIn(role, password string, want bool) resource.TestCheckFunc {
	return func(*terraform.State) error {
		conn, err := s.connect("postgres", role, password)
		if err == nil {
			_ = conn.Close(context.Background())
		}
		if !want && err == nil {
			return errors.New(role + " can still log in with the password " + password)
		}
		if !want {
			return nil
		}
		return err
	}
}

// nothingLeft checks that the server is as it was before.
func (s *server) nothingLeft(state *terraform.State) error {
	return s.answers("postgres", `SELECT (SELECT count(*) FROM pg_roles WHERE rolname NOT LIKE 'pg\_%' AND rolname <> 'postgres')
		|| ' roles, ' || (SELECT count(*) FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')) || ' databases'`, "0 roles, 0 databases")(state)
}

// A password comes from an ephemeral variable into a write-only argument: the
// server has it, plan and state do not.
func TestRole(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		s := useServer(t)
		configuration := `
variable "name" {
  type = string
}
variable "password" {
  type      = string
  ephemeral = true
}
variable "number" {
  type = number
}
resource "pg_role" "this" {
  name             = var.name
  login            = true
  password         = var.password
  password_version = var.number
}`
		const address = "pg_role.this"
		variables := func(name, password string, number int) config.Variables {
			return config.Variables{"name": config.StringVariable(name), "password": config.StringVariable(password), "number": config.IntegerVariable(number)}
		}
		null := statecheck.ExpectKnownValue(address, tfjsonpath.New("password"), knownvalue.Null())
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			TerraformVersionChecks:   []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_11_0)},
			CheckDestroy:             s.nothingLeft,
			Steps: []resource.TestStep{
				{
					Config: configuration, ConfigVariables: variables("reader", "first", 1),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionCreate,
						plancheck.ExpectKnownValue(address, tfjsonpath.New("password"), knownvalue.Null())),
					ConfigStateChecks: []statecheck.StateCheck{null, statecheck.ExpectKnownValue(address, tfjsonpath.New("connection_limit"), knownvalue.Int64Exact(-1))},
					Check:             s.logsIn("reader", "first", true),
				},
				{
					// Another password alone is not seen: that is what the number is for.
					Config: configuration, ConfigVariables: variables("reader", "second", 1),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionNoop),
					Check:            s.logsIn("reader", "first", true),
				},
				{
					Config: configuration, ConfigVariables: variables("reader", "second", 2),
					ConfigPlanChecks:  expect(address, plancheck.ResourceActionUpdate),
					ConfigStateChecks: []statecheck.StateCheck{null},
					Check:             resource.ComposeAggregateTestCheckFunc(s.logsIn("reader", "second", true), s.logsIn("reader", "first", false)),
				},
				{
					Config: configuration, ConfigVariables: variables("writer", "second", 2),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionUpdate),
					Check:            s.logsIn("writer", "second", true),
				},
				{
					ResourceName: address, ImportState: true, ImportStateId: "writer", ConfigVariables: variables("writer", "second", 2),
					ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name", ImportStateVerifyIgnore: []string{"password_version"},
				},
				{
					PreConfig:    func() { s.exec(t, "postgres", "ALTER ROLE writer NOLOGIN CONNECTION LIMIT 3") },
					RefreshState: true, ExpectNonEmptyPlan: true, ConfigVariables: variables("writer", "second", 2),
					RefreshPlanChecks: resource.RefreshPlanChecks{PostRefresh: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate)}},
				},
				{
					Config: configuration, ConfigVariables: variables("writer", "second", 2),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionUpdate),
					Check:            s.answers("postgres", "SELECT rolcanlogin || ' ' || rolconnlimit FROM pg_roles WHERE rolname = 'writer'", "true -1"),
				},
				{
					PreConfig: func() { s.exec(t, "postgres", "DROP ROLE writer") },
					Config:    configuration, ConfigVariables: variables("writer", "third", 2),
					ConfigPlanChecks: expect(address, plancheck.ResourceActionCreate),
					Check:            s.logsIn("writer", "third", true),
				},
			},
		})
	})
}

// site is all that one application has on the server.
const site = `
variable "limit" {
  type    = number
  default = -1
}
variable "encoding" {
  type    = string
  default = "UTF8"
}
variable "columns" {
  type    = list(string)
  default = ["bigint", "text"]
}
variable "privileges" {
  type    = set(string)
  default = ["USAGE"]
}
resource "pg_role" "owner" {
  name = "owner"
}
resource "pg_role" "reader" {
  name = "reader"
}
resource "pg_database" "this" {
  name             = "site"
  owner            = pg_role.owner.name
  connection_limit = var.limit
  encoding         = var.encoding
}
resource "pg_schema" "this" {
  database = pg_database.this.name
  name     = "app"
}
resource "pg_table" "this" {
  database    = pg_database.this.name
  schema      = pg_schema.this.name
  name        = "things"
  primary_key = ["c0"]
  dynamic "column" {
    for_each = var.columns
    content {
      name     = "c${column.key}"
      type     = column.value
      nullable = column.key > 0
    }
  }
}
resource "pg_grant" "this" {
  role       = pg_role.reader.name
  database   = pg_database.this.name
  schema     = pg_schema.this.name
  privileges = var.privileges
}
data "pg_server" "this" {
  depends_on = [pg_database.this]
}
output "databases" {
  value = data.pg_server.this.databases
}`

func TestSite(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		s := useServer(t)
		const database, table, grant = "pg_database.this", "pg_table.this", "pg_grant.this"
		text := func(all ...string) config.Variable {
			var list []config.Variable
			for _, one := range all {
				list = append(list, config.StringVariable(one))
			}
			return config.ListVariable(list...)
		}
		imports := func(address, id, by string) resource.TestStep {
			return resource.TestStep{
				ResourceName: address, ImportState: true, ImportStateId: id,
				ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: by,
			}
		}
		const shape = `SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
			FROM pg_attribute WHERE attrelid = 'app.things'::regclass AND attnum > 0 AND NOT attisdropped`
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			CheckDestroy:             s.nothingLeft,
			Steps: []resource.TestStep{
				{
					Config: site,
					ConfigPlanChecks: expect(database, plancheck.ResourceActionCreate,
						plancheck.ExpectResourceAction("data.pg_server.this", plancheck.ResourceActionRead),
						plancheck.ExpectUnknownOutputValue("databases"),
						plancheck.ExpectUnknownValue("pg_schema.this", tfjsonpath.New("owner"))),
					ConfigStateChecks: []statecheck.StateCheck{
						statecheck.ExpectKnownOutputValue("databases", knownvalue.ListExact([]knownvalue.Check{knownvalue.StringExact("postgres"), knownvalue.StringExact("site")})),
						statecheck.ExpectKnownValue("pg_schema.this", tfjsonpath.New("owner"), knownvalue.StringExact("postgres")),
					},
					Check: s.answers("site", shape, "c0 bigint, c1 text"),
				},
				imports(database, "site", "name"),
				imports("pg_schema.this", "site/app", "name"),
				imports(table, "site/app/things", "name"),
				imports(grant, "reader/site/app", "role"),
				{
					ResourceName: "pg_schema.this", ImportState: true, ImportStateId: "app",
					ExpectError: regexp.MustCompile(`(?s)Invalid import id.*Expected\s+database/name,\s+got\s+app`),
				},
				{
					ResourceName: table, ImportState: true, ImportStateId: "site/app/nothing",
					ExpectError: regexp.MustCompile(`Cannot import non-existent remote object`),
				},
				{
					// The server writes its own names of the types.
					ResourceName: table, ImportState: true, ImportStateKind: resource.ImportBlockWithID, ImportStateId: "site/app/things",
				},
				{
					Config: site, ConfigVariables: config.Variables{"limit": config.IntegerVariable(9), "columns": text("bigint", "varchar(30)", "int8")},
					ConfigPlanChecks: expect(database, plancheck.ResourceActionUpdate, plancheck.ExpectResourceAction(table, plancheck.ResourceActionUpdate)),
					Check:            s.answers("site", shape, "c0 bigint, c1 character varying(30), c2 bigint"),
				},
				{
					// What somebody else did is undone: a column, and a privilege.
					PreConfig: func() {
						s.exec(t, "site", "ALTER TABLE app.things ADD intruder int; GRANT CREATE ON SCHEMA app TO reader")
					},
					Config: site, ConfigVariables: config.Variables{"columns": text("bigint")},
					ConfigPlanChecks: expect(table, plancheck.ResourceActionUpdate, plancheck.ExpectResourceAction(grant, plancheck.ResourceActionUpdate)),
					Check: resource.ComposeAggregateTestCheckFunc(
						s.answers("site", shape, "c0 bigint"),
						s.answers("site", "SELECT has_schema_privilege('reader', 'app', 'CREATE')::text", "false"),
					),
				},
				{
					Config: site, ConfigVariables: config.Variables{"encoding": config.StringVariable("SQL_ASCII"), "columns": text("bigint")},
					ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(database, plancheck.ResourceActionReplace)}},
					// What was in the database went with it, as the next plan finds.
					ExpectNonEmptyPlan: true,
					Check:              s.answers("postgres", "SELECT pg_encoding_to_char(encoding)::text FROM pg_database WHERE datname = 'site'", "SQL_ASCII"),
				},
				{
					// It comes again.
					Config: site, ConfigVariables: config.Variables{"encoding": config.StringVariable("SQL_ASCII"), "columns": text("bigint")},
					ConfigPlanChecks: expect(table, plancheck.ResourceActionCreate),
				},
			},
		})
	})
}

// An identity is as good as an id, where the program knows of identities.
func TestIdentity(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		s := useServer(t)
		const role, schema = "pg_role.this", "pg_schema.this"
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			TerraformVersionChecks:   []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_12_0)},
			CheckDestroy:             s.nothingLeft,
			Steps: []resource.TestStep{
				{
					Config: `
resource "pg_role" "this" {
  name = "somebody"
}
resource "pg_schema" "this" {
  database = "postgres"
  name     = "somewhere"
}`,
					ConfigStateChecks: []statecheck.StateCheck{
						statecheck.ExpectIdentity(role, map[string]knownvalue.Check{"name": knownvalue.StringExact("somebody")}),
						statecheck.ExpectIdentityValue(schema, tfjsonpath.New("database"), knownvalue.StringExact("postgres")),
						statecheck.ExpectIdentityValueMatchesState(schema, tfjsonpath.New("name")),
					},
				},
				{ResourceName: role, ImportState: true, ImportStateKind: resource.ImportBlockWithResourceIdentity},
				{ResourceName: schema, ImportState: true, ImportStateKind: resource.ImportBlockWithResourceIdentity},
			},
		})
	})
}

// The settings of the provider itself: a password that is ephemeral, a wrong one,
// and one that nobody knows yet.
func TestSettings(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		s := useServer(t)
		configuration := func(more string) string {
			return `
variable "port" {
  type = number
}
variable "password" {
  type      = string
  ephemeral = true
  default   = "wrong-and-secret"
}
provider "pg" {
  host     = "127.0.0.1"
  port     = var.port
  user     = "postgres"
  password = var.password
  sslmode  = "disable"
}
` + more
		}
		port := config.Variables{"port": config.IntegerVariable(s.port)}
		right := config.Variables{"port": config.IntegerVariable(s.port), "password": config.StringVariable(s.password)}
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			TerraformVersionChecks:   []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_10_0)},
			CheckDestroy:             s.nothingLeft,
			Steps: []resource.TestStep{
				{
					Config: configuration(`data "pg_server" "this" {}`), ConfigVariables: port,
					ExpectError: regexp.MustCompile(`(?s)Cannot read the server.*password\s+authentication\s+failed`),
				},
				{
					Config: configuration(`data "pg_server" "this" {}`), ConfigVariables: right,
					ConfigStateChecks: []statecheck.StateCheck{
						statecheck.ExpectKnownValue("data.pg_server.this", tfjsonpath.New("version_number"), knownvalue.Int64Func(func(n int64) error {
							if n < 90000 {
								return fmt.Errorf("%d is no version", n)
							}
							return nil
						})),
					},
				},
				{Config: configuration(`resource "pg_role" "this" { name = "somebody" }`), ConfigVariables: right},
			},
		})
	})
}

func TestErrors(t *testing.T) {
	acceptance.EachProgram(t, func(t *testing.T) {
		s := useServer(t)
		fails := func(configuration, pattern string) resource.TestStep {
			return resource.TestStep{Config: configuration, ExpectError: regexp.MustCompile(pattern)}
		}
		grant := func(more, privileges string) string {
			return "resource \"pg_grant\" \"this\" {\n  role = \"postgres\"\n  database = \"postgres\"\n" + more + "  privileges = " + privileges + "\n}"
		}
		resource.Test(t, resource.TestCase{
			ProtoV5ProviderFactories: factories(),
			CheckDestroy:             s.nothingLeft,
			Steps: []resource.TestStep{
				fails(`resource "pg_role" "this" { name = "postgres" }`, `(?s)Cannot create the role postgres.*SQLSTATE\s+42710`),
				fails(grant("", `["USAGE"]`), `(?s)Invalid privilege.*"USAGE"\s+is\s+none\s+of\s+CONNECT,\s+CREATE,\s+TEMPORARY`),
				fails(grant("schema = \"public\"\n", `[]`), `(?s)Invalid privileges.*at\s+least\s+one\s+privilege`),
				fails("resource \"terraform_data\" \"this\" {\n  input = \"localhost\"\n}\nprovider \"pg\" {\n  host = terraform_data.this.id\n}\nresource \"pg_role\" \"this\" {\n  name = \"x\"\n}",
					`(?s)The server is not known yet`),
			},
		})
	})
}
