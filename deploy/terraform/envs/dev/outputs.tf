output "cluster_env" {
  description = "What deploy/k8s needs to know: `make cluster-env` writes it there."
  value       = module.onpoint.cluster_env
}

output "master_secrets" {
  description = "ARNs of the secrets of the databases' masters."
  value       = module.onpoint.master_secrets
}

output "kafka_bootstrap_servers_iam" {
  description = "host:port of the brokers for the administrator's role."
  value       = module.onpoint.kafka_bootstrap_servers_iam
}

output "dms_task_arn" {
  description = "ARN of the task of DMS; null: there is none."
  value       = module.onpoint.dms_task_arn
}
