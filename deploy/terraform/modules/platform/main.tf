# All of an environment: its network, keys, buckets, cluster, databases, brokers, roles, secrets and alarms.

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_availability_zones" "this" {
  # checkov:skip=CKV_AWS_394:The first three by name are taken: a new zone has a later letter
  state = "available"

  # Local zones have neither RDS nor MSK.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  name      = "onpoint-${var.environment}"
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  zones     = length(var.zones) > 0 ? var.zones : slice(sort(data.aws_availability_zones.this.names), 0, 3)
  # An environment that can be made again at any time leaves nothing behind.
  recovery_days = var.disposable ? 0 : 30
  uses_celery   = var.airflow_executor == "CeleryExecutor"
}

module "keys" {
  source = "../keys"

  name                 = local.name
  account_id           = local.account
  partition            = local.partition
  region               = var.region
  deletion_window_days = var.disposable ? 7 : 30
}

module "network" {
  source = "../network"

  name       = local.name
  account_id = local.account
  partition  = local.partition
  region     = var.region
  cidr       = var.cidr
  zones      = local.zones
  one_nat    = var.one_nat
  # Pods may reach no address of the internet, and a role is had from STS.
  interface_endpoints = setunion(["sts"], var.interface_endpoints)
  log_days            = var.log_days
  logs_key_arn        = module.keys.arns.logs
}

module "lake" {
  source = "../lake"

  name                = local.name
  account_id          = local.account
  partition           = local.partition
  kms_key_arn         = module.keys.arns.data
  archive_after_days  = var.archive_after_days
  archived_prefixes   = var.archived_prefixes
  staging_ttl_hours   = var.staging_ttl_hours
  staging_expiry_days = var.staging_expiry_days
  force_destroy       = var.disposable
}

module "images" {
  source = "../images"

  name          = local.name
  data_key_arn  = module.keys.arns.data
  force_destroy = var.disposable
}

module "cluster" {
  source = "../cluster"

  name               = local.name
  account_id         = local.account
  partition          = local.partition
  region             = var.region
  kubernetes_version = var.kubernetes_version
  subnet_ids         = module.network.private_subnets
  public_cidrs       = var.public_cidrs
  administrators     = var.administrators
  nodes              = var.nodes
  cluster_key_arn    = module.keys.arns.cluster
  logs_key_arn       = module.keys.arns.logs
  log_days           = var.log_days
}

module "database" {
  source   = "../database"
  for_each = { data = var.data_database, airflow = var.airflow_database }

  name                = "${local.name}-${each.key}"
  account_id          = local.account
  partition           = local.partition
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.data_subnets
  clients             = { cluster = module.cluster.security_group_id }
  database            = each.key == "data" ? "onpoint" : "airflow"
  engine_version      = each.value.engine_version
  instance_class      = each.value.instance_class
  storage_gb          = each.value.storage_gb
  storage_limit_gb    = each.value.storage_limit_gb
  multi_az            = each.value.multi_az
  backup_days         = each.value.backup_days
  logical_replication = each.key == "data"
  slot_keep_mb        = var.slot_keep_mb
  deletion_protection = !var.disposable
  skip_final_snapshot = var.disposable
  log_days            = var.log_days
  data_key_arn        = module.keys.arns.data
  secrets_key_arn     = module.keys.arns.secrets
  logs_key_arn        = module.keys.arns.logs
}

module "kafka" {
  source = "../kafka"
  count  = var.kafka == null ? 0 : 1

  name                     = local.name
  account_id               = local.account
  partition                = local.partition
  region                   = var.region
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.data_subnets
  client_security_group_id = module.cluster.security_group_id
  kafka_version            = var.kafka.version
  brokers                  = var.kafka.brokers
  instance_type            = var.kafka.instance_type
  storage_gb               = var.kafka.storage_gb
  storage_limit_gb         = var.kafka.storage_limit_gb
  users                    = var.kafka.users
  password_version         = var.password_versions.kafka
  recovery_days            = local.recovery_days
  namespace                = var.namespace
  oidc_provider_arn        = module.cluster.oidc_provider_arn
  oidc_issuer_url          = module.cluster.oidc_issuer_url
  data_key_arn             = module.keys.arns.data
  secrets_key_arn          = module.keys.arns.secrets
  logs_key_arn             = module.keys.arns.logs
  log_days                 = var.log_days
}

module "redis" {
  source = "../redis"
  count  = local.uses_celery ? 1 : 0

  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.data_subnets
  client_security_group_id = module.cluster.security_group_id
  node_type                = var.redis.node_type
  copies                   = var.redis.copies
  data_key_arn             = module.keys.arns.data
}

locals {
  data = module.database["data"]
  # Without the file of its CA the server's certificate cannot be verified; the connection is encrypted all the same.
  tls = var.postgres_ca_file == null ? "sslmode=require" : "sslmode=verify-full&sslrootcert=${var.postgres_ca_file}"
  dsn = "postgresql://onpoint:{password}@${local.data.address}:${local.data.port}/${local.data.database}?${local.tls}"

  # Of each process that connects, as deploy/k8s names them. Each has a secret of its own, to have a login of its own later.
  clients = ["loader", "s3sink", "quality", "s3sink-cdc", "quality-lineage", "console", "migrate"]

  secrets = merge(
    {
      for client in local.clients : "postgres/${client}" => {
        description = "Login of ${client} to the pipeline's database"
        text        = jsonencode({ dsn = local.dsn, username = "onpoint", password = "{password}" })
        password    = "postgres/onpoint"
        version     = var.password_versions.postgres
      }
    },
    {
      "postgres/connect" = {
        description = "Login of Kafka Connect, which reads the log of changes"
        text        = jsonencode({ username = "onpoint_cdc", password = "{password}" })
        version     = var.password_versions.connect
      }
      "airflow/database" = {
        description = "Login of Airflow to its metadata"
        text = jsonencode({
          connection = "postgresql://airflow:{password}@${module.database["airflow"].address}:5432/airflow?sslmode=require"
          username   = "airflow", password = "{password}"
        })
        version = var.password_versions.airflow
      }
      "services/control-token" = {
        description = "Bearer token that lets an operator resume a service"
        version     = var.password_versions.control
      }
      # Another one would make other hashes, so it has no version to raise.
      "services/mask-secret" = { description = "Secret of the masks that hash" }
    },
    var.dms == null ? {} : {
      "postgres/dms" = {
        description = "Login of DMS to the pipeline's database"
        text        = jsonencode({ username = "onpoint_dms", password = "{password}", host = local.data.address, port = local.data.port })
        version     = var.password_versions.dms
      }
    },
  )
}

module "secrets" {
  source = "../secrets"

  name            = local.name
  secrets         = local.secrets
  secrets_key_arn = module.keys.arns.secrets
  recovery_days   = local.recovery_days
}

module "access" {
  source = "../access"

  name              = local.name
  region            = var.region
  namespace         = var.namespace
  oidc_provider_arn = module.cluster.oidc_provider_arn
  oidc_issuer_url   = module.cluster.oidc_issuer_url
  bucket_arns       = module.lake.arns
  data_key_arn      = module.keys.arns.data
  secrets_key_arn   = module.keys.arns.secrets
  secret_arn_patterns = [
    "arn:${local.partition}:secretsmanager:${var.region}:${local.account}:secret:${local.name}/*",
    "arn:${local.partition}:secretsmanager:${var.region}:${local.account}:secret:AmazonMSK_${local.name}_*",
  ]
}

module "capture" {
  source = "../capture"
  count  = var.dms == null ? 0 : 1

  name                       = "${local.name}-changes"
  account_id                 = local.account
  partition                  = local.partition
  region                     = var.region
  vpc_id                     = module.network.vpc_id
  subnet_ids                 = module.network.private_subnets
  instance_class             = var.dms.instance_class
  storage_gb                 = var.dms.storage_gb
  multi_az                   = var.dms.multi_az
  make_account_roles         = var.dms.make_account_roles
  database                   = local.data.database
  database_security_group_id = local.data.security_group_id
  source_secret_arn          = module.secrets.arns["postgres/dms"]
  lake_bucket                = module.lake.lake_bucket
  lake_bucket_arn            = module.lake.arns.lake
  data_key_arn               = module.keys.arns.data
  secrets_key_arn            = module.keys.arns.secrets
}

module "watch" {
  source = "../watch"

  name       = local.name
  account_id = local.account
  emails     = var.alarm_emails
  databases = {
    data = {
      identifier       = local.data.identifier
      least_free_gb    = ceil(var.data_database.storage_gb / 10)
      most_connections = var.data_database.most_connections
      most_slot_bytes  = var.slot_keep_mb * 1048576 / 2
    }
    airflow = {
      identifier       = module.database["airflow"].identifier
      least_free_gb    = ceil(var.airflow_database.storage_gb / 10)
      most_connections = var.airflow_database.most_connections
    }
  }
  kafka        = var.kafka == null ? null : { name = local.name, brokers = var.kafka.brokers }
  redis_id     = local.uses_celery ? local.name : null
  budget_usd   = var.budget_usd
  logs_key_arn = module.keys.arns.logs
}
