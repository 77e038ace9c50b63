resource "openstack_networking_network_v2" "site" {
  name           = var.site
  description    = "Everything of ${var.site}"
  admin_state_up = true
}

resource "openstack_networking_subnet_v2" "tier" {
  for_each = var.tiers

  name       = "${var.site}-${each.key}"
  network_id = openstack_networking_network_v2.site.id
  cidr       = cidrsubnet(var.range, 8, each.value.number)
  ip_version = 4
}

resource "openstack_networking_router_v2" "site" {
  name           = var.site
  admin_state_up = true
}

resource "openstack_networking_router_interface_v2" "tier" {
  for_each = openstack_networking_subnet_v2.tier

  router_id = openstack_networking_router_v2.site.id
  subnet_id = each.value.id
}

resource "openstack_networking_secgroup_v2" "tier" {
  for_each = var.tiers

  name        = "${var.site}-${each.key}"
  description = "Who may speak to ${each.key}"
}

locals {
  # One rule for each port that one tier opens to another, or to everybody.
  openings = merge([
    for tier, settings in var.tiers : {
      for port, from in settings.open : "${tier}-${port}" => { tier = tier, port = tonumber(port), from = from }
    }
  ]...)
}

resource "openstack_networking_secgroup_rule_v2" "opening" {
  for_each = local.openings

  description       = "${each.value.from} to ${each.key}"
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = each.value.port
  port_range_max    = each.value.port
  security_group_id = openstack_networking_secgroup_v2.tier[each.value.tier].id
  remote_ip_prefix  = each.value.from == "everybody" ? "0.0.0.0/0" : null
  remote_group_id   = each.value.from == "everybody" ? null : openstack_networking_secgroup_v2.tier[each.value.from].id
}
