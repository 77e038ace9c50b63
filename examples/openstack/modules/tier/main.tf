# The servers of a tier, kept apart from each other, each with a port of its own.

terraform {
  required_providers {
    openstack = {
      source = "terraform-provider-openstack/openstack"
    }
  }
}

variable "name" { type = string }
variable "network" { type = string }
variable "subnet" { type = string }
variable "group" { type = string }
variable "image" { type = string }
variable "flavor" { type = string }
variable "key" { type = string }
variable "instances" { type = set(string) }

resource "openstack_compute_servergroup_v2" "apart" {
  name     = var.name
  policies = ["soft-anti-affinity"]
}

resource "openstack_networking_port_v2" "server" {
  for_each = var.instances

  name               = "${var.name}-${each.key}"
  network_id         = var.network
  admin_state_up     = true
  security_group_ids = [var.group]

  fixed_ip {
    subnet_id = var.subnet
  }
}

resource "openstack_compute_instance_v2" "server" {
  for_each = var.instances

  name      = "${var.name}-${each.key}"
  image_id  = var.image
  flavor_id = var.flavor
  key_pair  = var.key

  metadata = {
    tier = var.name
  }

  network {
    port = openstack_networking_port_v2.server[each.key].id
  }

  scheduler_hints {
    group = openstack_compute_servergroup_v2.apart.id
  }

  lifecycle {
    # The cloud does not tell what a server was scheduled by, and the provider
    # does not read its ports: one that was imported would be made anew. With
    # another port it has to be.
    ignore_changes       = [scheduler_hints, network]
    replace_triggered_by = [openstack_networking_port_v2.server[each.key].id]
  }
}

output "addresses" {
  description = "Where each server is found."
  value       = { for name, port in openstack_networking_port_v2.server : name => port.all_fixed_ips[0] }
}

output "ids" {
  description = "The servers, by name."
  value       = { for name, server in openstack_compute_instance_v2.server : name => server.id }
}
