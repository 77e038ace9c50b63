output "addresses" {
  description = "Where each server is found, by tier."
  value       = { for name, tier in module.tier : name => tier.addresses }
}

output "project" {
  description = "The project that everything lies in."
  value       = data.openstack_identity_auth_scope_v3.here.project_name
}
