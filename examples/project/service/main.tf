variable "name" {
  type = string
}

variable "subnet" {
  type = string
}

variable "domain" {
  type = string
}

variable "replicas" {
  type = number
  validation {
    condition     = var.replicas > 0
    error_message = "A service needs at least one instance."
  }
}

variable "serves" {
  type        = list(string)
  description = "Addresses that are let in."
  default     = []
}

resource "terraform_data" "instance" {
  count = var.replicas
  input = {
    subnet  = var.subnet
    address = "${var.name}-${count.index}.${var.domain}"
    serves  = var.serves
  }
}

output "addresses" {
  value = terraform_data.instance[*].output.address
}
