output "arns" {
  description = "ARNs of the secrets, by the name given here."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "names" {
  description = "Names of the secrets in Secrets Manager, by the name given here."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.name }
}
