output "id" {
  description = "Id of the group."
  value       = aws_elasticache_replication_group.this.id
}

output "address" {
  description = "Host name of the server that takes writes."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}
