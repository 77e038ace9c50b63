output "server" {
  description = "Version of the PostgreSQL server."
  value       = data.pg_server.shop.version
}

output "services" {
  description = "What runs, and where its data is."
  value       = module.services.services
}

output "files" {
  description = "The settings of the services."
  value       = { for name, file in module.config.files : name => file.name }
}

output "passwords" {
  description = "Passwords of the services' roles."
  value       = module.services.passwords
  sensitive   = true
}
