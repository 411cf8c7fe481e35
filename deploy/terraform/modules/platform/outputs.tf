output "cluster_env" {
  description = "What deploy/k8s needs to know, as the lines of its cluster.env."
  value = merge(
    {
      ONPOINT_KAFKA_BOOTSTRAP_SERVERS = module.kafka.bootstrap_servers
      ONPOINT_LAKE_BUCKET             = module.lake.lake_bucket
      ONPOINT_STAGING_BUCKET          = module.lake.staging_bucket
      ONPOINT_STAGING_TTL_HOURS       = tostring(module.lake.staging_ttl_hours)
      AWS_REGION                      = var.region
      CLUSTER_NAME                    = module.cluster.name
      SECRETS_PREFIX                  = "${local.name}/"
      KAFKA_SECRETS_PREFIX            = "AmazonMSK_${local.name}-"
      POSTGRES_HOST                   = local.data.address
      POSTGRES_CA_FILE                = var.postgres_ca_file
      AIRFLOW_POSTGRES_HOST           = module.database["airflow"].address
      AIRFLOW_EXECUTOR                = var.airflow_executor
      ROLE_ARN_CLUSTER_AUTOSCALER     = module.cluster.autoscaler_role_arn
      ROLE_ARN_KAFKA_ADMINISTRATOR    = module.kafka.administrator_role_arn
    },
    { for account, arn in module.access.role_arns : "ROLE_ARN_${replace(upper(account), "-", "_")}" => arn },
    { for image, url in module.images.urls : "IMAGE_${upper(image)}" => url },
    local.uses_celery ? { REDIS_HOST = module.redis[0].address } : {},
  )
}

output "master_secrets" {
  description = "ARNs of the secrets of the databases' masters, by database: for the first roles, and for emergencies."
  value       = { for role, database in module.database : role => database.master_secret_arn }
}

output "kafka_bootstrap_servers_iam" {
  description = "host:port of the brokers for the administrator's role."
  value       = module.kafka.bootstrap_servers_iam
}

output "dms_task_arn" {
  description = "ARN of the task of DMS; null: there is none."
  value       = one(module.capture[*].task_arn)
}
