# For every service a role that logs in, a database it owns and a schema in it;
# and one role for reports that may look into all of them.

terraform {
  required_providers {
    pg = {
      source = "tutti-dev/pg"
    }
  }
}

variable "services" {
  type = map(object({ connections = number }))
}

variable "passwords" {
  type      = map(string)
  sensitive = true
}

variable "password_version" {
  type = number
}

resource "pg_role" "service" {
  for_each = var.services

  name             = "shop_${each.key}"
  login            = true
  connection_limit = each.value.connections
  password         = var.passwords[each.key]
  password_version = var.password_version
}

resource "pg_role" "reports" {
  name = "shop_reports"
}

resource "pg_database" "service" {
  for_each = var.services

  name             = "shop_${each.key}"
  owner            = pg_role.service[each.key].name
  connection_limit = each.value.connections * 2
}

resource "pg_schema" "service" {
  for_each = var.services

  database = pg_database.service[each.key].name
  name     = each.key
  owner    = pg_role.service[each.key].name
}

resource "pg_grant" "connect" {
  for_each = var.services

  role       = pg_role.reports.name
  database   = pg_database.service[each.key].name
  privileges = ["CONNECT"]
}

resource "pg_grant" "usage" {
  for_each = var.services

  role       = pg_role.reports.name
  database   = pg_database.service[each.key].name
  schema     = pg_schema.service[each.key].name
  privileges = ["USAGE"]
}

output "roles" {
  value = { for name, role in pg_role.service : name => role.name }
}

output "databases" {
  value = { for name, database in pg_database.service : name => database.name }
}

output "schemas" {
  value = { for name, schema in pg_schema.service : name => schema.name }
}
