provider "aws" {
  region = var.region

  default_tags {
    tags = { Project = "onpoint-prod", Environment = "prod", ManagedBy = "terraform" }
  }
}

module "onpoint" {
  source = "../../modules/platform"

  environment         = "prod"
  region              = var.region
  public_cidrs        = var.public_cidrs
  administrators      = var.administrators
  interface_endpoints = ["ecr.api", "ecr.dkr", "logs", "monitoring", "secretsmanager", "sts"]

  nodes            = { instance_types = ["m5.2xlarge"], min = 2, desired = 4, max = 20 }
  data_database    = { instance_class = "db.r5.2xlarge", storage_gb = 100, storage_limit_gb = 1000 }
  airflow_database = { instance_class = "db.m5.large", storage_gb = 50, storage_limit_gb = 200 }
  kafka            = { instance_type = "kafka.m5.large", storage_gb = 250, storage_limit_gb = 2000 }

  airflow_executor  = var.airflow_executor
  dms               = var.dms
  archived_prefixes = var.archived_prefixes
  password_versions = var.password_versions
  alarm_emails      = var.alarm_emails
  budget_usd        = var.budget_usd
}
