output "cluster_env" {
  description = "What deploy/k8s needs to know: the lines of an overlay's cluster.env."
  value = merge(
    {
      AWS_REGION             = var.region
      ONPOINT_STAGING_BUCKET = module.lake.staging_bucket
      ONPOINT_LAKE_BUCKET    = module.lake.lake_bucket
      POSTGRES_CIDRS         = join(",", module.network.data_cidrs)
      # S3, and the endpoint of STS.
      STORE_CIDRS    = join(",", concat(module.network.s3_cidrs, module.network.data_cidrs))
      SECRETS_PREFIX = local.name
    },
    var.kafka == null ? {} : {
      ONPOINT_KAFKA_BOOTSTRAP_SERVERS = module.kafka[0].bootstrap_servers
      KAFKA_CIDRS                     = join(",", module.network.data_cidrs)
    },
    { for account, arn in module.access.role_arns : "ROLE_ARN_${replace(upper(account), "-", "_")}" => arn },
  )
}

output "images" {
  description = "Addresses of the repositories of images."
  value       = module.images.urls
}

output "cluster" {
  description = "Name of the cluster, the role of its autoscaler, and of whoever makes the first ACLs in Kafka."
  value = {
    name                     = module.cluster.name
    autoscaler_role_arn      = module.cluster.autoscaler_role_arn
    kafka_administrator_role = one(module.kafka[*].administrator_role_arn)
  }
}

output "databases" {
  description = "Host names of the databases."
  value       = { for role, database in module.database : role => database.address }
}

output "redis_address" {
  description = "Host name of the Redis of CeleryExecutor; null: there is none."
  value       = one(module.redis[*].address)
}

output "master_secrets" {
  description = "ARNs of the secrets of the databases' masters, by database: for the first roles, and for emergencies."
  value       = { for role, database in module.database : role => database.master_secret_arn }
}

output "kafka_bootstrap_servers_iam" {
  description = "host:port of the brokers for the administrator's role."
  value       = one(module.kafka[*].bootstrap_servers_iam)
}

output "dms_task_arn" {
  description = "ARN of the task of DMS; null: there is none."
  value       = one(module.capture[*].task_arn)
}
