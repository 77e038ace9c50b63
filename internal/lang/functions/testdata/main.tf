# What the expressions of console.txt and errors.txt can refer to.
resource "terraform_data" "u" {}

variable "eph" {
  default   = "e"
  ephemeral = true
}

variable "s" {
  type    = string
  default = "x"
}

locals {
  unknown   = terraform_data.u.output
  tmpl      = "hi ${upper("x")} $${a}"
  sensitive = sensitive("s$${a}")
  badtmpl   = "$${"
  listtmpl  = "$${[1]}"
  num       = 3
  obj       = { a = "$${b}" }
  secret    = sensitive("hush")
}
