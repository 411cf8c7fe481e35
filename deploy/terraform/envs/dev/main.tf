provider "aws" {
  region = var.region

  default_tags {
    tags = { Project = "onpoint-dev", Environment = "dev", ManagedBy = "terraform" }
  }
}

# Small, in three zones as prod is, and gone without a trace by `terraform destroy`. Kafka is in the cluster, by Strimzi.
module "onpoint" {
  source = "../../modules/platform"

  environment    = "dev"
  region         = var.region
  disposable     = true
  cidr           = "10.21.0.0/16"
  one_nat        = true
  public_cidrs   = var.public_cidrs
  administrators = var.administrators

  nodes            = { instance_types = ["m5.xlarge"], min = 2, desired = 2, max = 6 }
  data_database    = { instance_class = "db.m5.large", storage_gb = 50, storage_limit_gb = 200, multi_az = false, most_connections = 200 }
  airflow_database = { instance_class = "db.t3.medium", storage_gb = 20, storage_limit_gb = 100, multi_az = false, most_connections = 100 }
  redis            = { node_type = "cache.t3.small", copies = 1 }

  airflow_executor = var.airflow_executor
  dms              = var.dms
  log_days         = 30
  alarm_emails     = var.alarm_emails
  budget_usd       = var.budget_usd
}
