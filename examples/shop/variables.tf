variable "pg_host" {
  description = "Where the PostgreSQL server is."
  type        = string
  default     = "127.0.0.1"
}

variable "pg_port" {
  description = "Its port."
  type        = number
  default     = 5432
}

variable "services" {
  description = "The services of the shop. Settle is how long a new one waits for its database."
  type = map(object({
    connections = optional(number, 10)
    replicas    = optional(number, 1)
    settle      = optional(string, "0s")
  }))
  default = {
    cart    = { replicas = 2 }
    catalog = { replicas = 3, connections = 20 }
    orders  = {}
  }

  validation {
    condition     = alltrue([for name in keys(var.services) : can(regex("^[a-z][a-z0-9]*$", name))])
    error_message = "Names of services are small letters and digits."
  }
}

variable "config_folder" {
  description = "Where the settings of the services are written."
  type        = string
  default     = "etc"
}

variable "rotation_days" {
  description = "After how many days the services get new passwords."
  type        = number
  default     = 90
}
