output "name" {
  description = "Name of the cluster, as alarms name it."
  value       = aws_msk_cluster.this.cluster_name
}

output "bootstrap_servers" {
  description = "host:port of the brokers for clients by SCRAM."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_scram
}

output "bootstrap_servers_iam" {
  description = "host:port of the brokers for clients by a role of IAM."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_iam
}

output "secret_names" {
  description = "Names of the users' secrets, by user."
  value       = { for user, secret in aws_secretsmanager_secret.user : user => secret.name }
}

output "administrator_role_arn" {
  description = "ARN of the role that makes topics and ACLs."
  value       = aws_iam_role.administrator.arn
}
