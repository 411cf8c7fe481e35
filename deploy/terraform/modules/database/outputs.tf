output "identifier" {
  description = "Identifier of the server, as alarms name it."
  value       = aws_db_instance.this.identifier
}

output "address" {
  description = "Host name of the server."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "Port of the server."
  value       = aws_db_instance.this.port
}

output "database" {
  description = "Name of the first database."
  value       = aws_db_instance.this.db_name
}

output "master_secret_arn" {
  description = "ARN of the secret with the master's password."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "security_group_id" {
  description = "Id of the server's security group."
  value       = aws_security_group.this.id
}
