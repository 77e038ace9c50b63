# A file of settings for every service, and the clock of the passwords.

terraform {
  required_providers {
    local = {
      source  = "hashicorp/local"
      version = "~> 2.5"
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.13"
    }
  }
}

variable "folder" {
  type = string
}

variable "rotation_days" {
  type = number
}

variable "settings" {
  type = map(object({
    host     = string
    port     = number
    database = string
    schema   = string
    user     = string
    release  = string
  }))
}

resource "time_static" "opened" {}

resource "time_rotating" "passwords" {
  rotation_days = var.rotation_days
}

resource "local_file" "settings" {
  for_each = var.settings

  filename        = "${var.folder}/${each.key}.ini"
  file_permission = "0644"
  content         = templatefile("${path.module}/settings.ini.tftpl", { name = each.key, settings = each.value })
}

resource "terraform_data" "manifest" {
  input = {
    opened = time_static.opened.rfc3339
    files  = { for name, file in local_file.settings : name => file.content_sha256 }
  }
}

output "rotation" {
  value = time_rotating.passwords.unix
}

output "files" {
  value = {
    for name, file in local_file.settings : name => {
      name   = file.filename
      sha256 = file.content_sha256
    }
  }
}
