# A small site on OpenStack: a network with a subnet for each tier, who may
# speak to whom, sizes and an image of servers, and the servers themselves, a
# module for each tier. User, password and project come from OS_* variables.

terraform {
  required_version = ">= 1.11"

  required_providers {
    openstack = {
      source  = "terraform-provider-openstack/openstack"
      version = "~> 1.54"
    }
  }
}

provider "openstack" {
  endpoint_overrides = var.endpoints
}

data "openstack_identity_auth_scope_v3" "here" {
  name = "here"
}

resource "openstack_identity_project_v3" "customer" {
  for_each = var.customers

  name        = "${var.site}-${each.key}"
  description = each.value
  tags        = ["tutti"]
}

resource "openstack_compute_flavor_v2" "size" {
  for_each = var.sizes

  name      = "${var.site}-${each.key}"
  vcpus     = each.value.cpus
  ram       = each.value.memory
  disk      = 1
  is_public = true
}

resource "openstack_images_image_v2" "system" {
  name             = "${var.site}-system"
  local_file_path  = "${path.module}/system.img"
  container_format = "bare"
  disk_format      = "raw"
  visibility       = "private"
}

resource "openstack_compute_keypair_v2" "operator" {
  for_each = var.operators

  name       = "${var.site}-${each.key}"
  public_key = each.value
}

module "tier" {
  source   = "./modules/tier"
  for_each = var.tiers

  name      = "${var.site}-${each.key}"
  network   = openstack_networking_network_v2.site.id
  subnet    = openstack_networking_subnet_v2.tier[each.key].id
  group     = openstack_networking_secgroup_v2.tier[each.key].id
  image     = openstack_images_image_v2.system.id
  flavor    = openstack_compute_flavor_v2.size[each.value.size].id
  key       = values(openstack_compute_keypair_v2.operator)[0].name
  instances = each.value.instances
}
