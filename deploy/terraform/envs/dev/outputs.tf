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

output "images" {
  description = "Addresses of the repositories of images."
  value       = module.onpoint.images
}

output "cluster" {
  description = "Name of the cluster, the role of its autoscaler, and of whoever makes the first ACLs in Kafka."
  value       = module.onpoint.cluster
}

output "databases" {
  description = "Host names of the databases."
  value       = module.onpoint.databases
}

output "redis_address" {
  description = "Host name of the Redis of CeleryExecutor; null: there is none."
  value       = module.onpoint.redis_address
}
