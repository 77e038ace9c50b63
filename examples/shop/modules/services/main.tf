# The services themselves: a release with a name, a password, and what is rolled
# out once database and settings are there.

terraform {
  required_providers {
    random = {
      source  = "hashicorp/random"
      version = "~> 3.5"
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.13"
    }
  }
}

variable "services" {
  type = map(object({
    replicas = number
    settle   = string
  }))
}

variable "databases" {
  type = map(string)
}

variable "files" {
  type = map(object({
    name   = string
    sha256 = string
  }))
}

variable "rotation" {
  type = number
}

resource "random_pet" "release" {
  for_each = var.services

  prefix = each.key
}

resource "random_password" "service" {
  for_each = var.services

  length  = 24
  special = false
  keepers = {
    rotation = var.rotation
  }
}

resource "time_sleep" "settle" {
  for_each = var.services

  create_duration = each.value.settle
  triggers = {
    database = var.databases[each.key]
  }
}

resource "terraform_data" "service" {
  for_each = var.services

  input = {
    release  = random_pet.release[each.key].id
    replicas = each.value.replicas
    database = time_sleep.settle[each.key].triggers.database
    settings = var.files[each.key].sha256
  }

  lifecycle {
    precondition {
      condition     = each.value.replicas > 0
      error_message = "A service needs a replica."
    }
  }
}

output "passwords" {
  value     = { for name, password in random_password.service : name => password.result }
  sensitive = true
}

output "releases" {
  value = { for name, release in random_pet.release : name => release.id }
}

output "services" {
  value = {
    for name, service in terraform_data.service : name => {
      release  = service.output.release
      replicas = service.output.replicas
      database = service.output.database
    }
  }
}
