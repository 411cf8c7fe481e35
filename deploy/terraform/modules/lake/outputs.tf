output "lake_bucket" {
  description = "Name of the bucket of the data lake."
  value       = module.lake.name
}

output "staging_bucket" {
  description = "Name of the bucket of batches in flight."
  value       = module.staging.name
}

output "arns" {
  description = "ARNs of the buckets by their role; known before they are there."
  value       = { lake = module.lake.arn, staging = module.staging.arn }
}

output "staging_ttl_hours" {
  description = "ONPOINT_STAGING_TTL_HOURS that the expiry of staging goes with."
  value       = var.staging_ttl_hours
}
