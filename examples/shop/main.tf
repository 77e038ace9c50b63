# A small shop: every service has a database of its own, a role that owns it, a
# file with its settings and a release. Three modules share the work; what they
# give each other goes both ways, resource by resource.

terraform {
  required_version = ">= 1.11"

  required_providers {
    pg = {
      source  = "tutti-dev/pg"
      version = "~> 1.0"
    }
  }
}

# User and password come from PGUSER and PGPASSWORD.
provider "pg" {
  host    = var.pg_host
  port    = var.pg_port
  sslmode = "disable"
}

data "pg_server" "shop" {}

module "database" {
  source = "./modules/database"

  services         = var.services
  passwords        = module.services.passwords
  password_version = module.config.rotation
}

module "config" {
  source = "./modules/config"

  folder        = var.config_folder
  rotation_days = var.rotation_days
  settings = {
    for name, service in var.services : name => {
      host     = var.pg_host
      port     = var.pg_port
      database = module.database.databases[name]
      schema   = module.database.schemas[name]
      user     = module.database.roles[name]
      release  = module.services.releases[name]
    }
  }
}

module "services" {
  source = "./modules/services"

  services  = var.services
  rotation  = module.config.rotation
  files     = module.config.files
  databases = module.database.databases
}
