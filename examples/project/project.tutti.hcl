# Three stacks in two environments. Nothing has to be installed:
#
#   tutti plan -env=dev
#   tutti apply -env=dev
#   tutti destroy -env=dev

variable "replicas" {
  type        = number
  description = "How many instances of each service there are."
  default     = 1
}

locals {
  domain = "${environment.name}.example.test"
}

environment "dev" {
  labels = { tier = "dev" }
}

environment "prod" {
  labels    = { tier = "prod" }
  variables = { replicas = 3 }
}

stack "network" {
  source = "./network"
  inputs = { name = environment.name }
}

# Two stacks of one configuration. What they refer to comes before them.
stack "shop" {
  source = "./service"
  inputs = {
    name     = "shop"
    subnet   = stack.network.subnets.public
    replicas = var.replicas
    domain   = local.domain
  }
}

stack "ledger" {
  source = "./service"
  inputs = {
    name     = "ledger"
    subnet   = stack.network.subnets.private
    replicas = 1
    domain   = local.domain
    serves   = stack.shop.addresses
  }
}

workflow "release" {
  description = "Applies everything, and takes the shop back where it does not answer."

  step "network" {
    apply { stack = stack.network }
  }

  step "shop" {
    needs = [step.network]
    apply { stack = stack.shop }
    undo {
      rollback {}
    }
  }

  step "look" {
    for_each = step.shop.outputs.addresses
    exec {
      command    = ["echo", "asking ${each.value}"]
      idempotent = true # asking twice, after a crash, does no harm
    }
  }

  step "ledger" {
    needs = [step.look]
    apply { stack = stack.ledger }
  }
}
