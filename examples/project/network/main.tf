variable "name" {
  type = string
}

resource "terraform_data" "network" {
  input = "network-${var.name}"
}

resource "terraform_data" "subnet" {
  for_each = toset(["public", "private"])
  input    = "${terraform_data.network.output}/${each.key}"
}

output "subnets" {
  value = { for name, subnet in terraform_data.subnet : name => subnet.output }
}
