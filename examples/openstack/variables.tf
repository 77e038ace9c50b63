variable "site" {
  description = "Begins the name of everything that is made."
  type        = string
  default     = "site"
}

variable "range" {
  description = "The addresses of the site."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.range))
    error_message = "The range must be an IPv4 network, such as 10.20.0.0/16."
  }
}

variable "endpoints" {
  description = "Where to find services instead of where the catalog says."
  type        = map(string)
  default     = {}
}

variable "customers" {
  description = "A project for each of them, and what it is for."
  type        = map(string)
  default = {
    north = "The shop in the north"
    south = "The shop in the south"
  }
}

variable "sizes" {
  description = "Sizes of servers; memory in MB."
  type        = map(object({ cpus = number, memory = number }))
  default = {
    small = { cpus = 1, memory = 256 }
    large = { cpus = 4, memory = 2048 }
  }
}

variable "operators" {
  description = "Public keys of those who may log in. The first one's is put on the servers."
  type        = map(string)
  default = {
    ada = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ada"
  }
}

variable "tiers" {
  description = "Tiers of servers: open says which port takes calls from which tier, or from everybody."
  type = map(object({
    number    = number
    size      = string
    instances = set(string)
    open      = map(string)
  }))
  default = {
    web = {
      number    = 1
      size      = "small"
      instances = ["a", "b"]
      open      = { 80 = "everybody", 443 = "everybody" }
    }
    data = {
      number    = 2
      size      = "large"
      instances = ["a"]
      open      = { 5432 = "web" }
    }
  }
}
