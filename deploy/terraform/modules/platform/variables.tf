variable "environment" {
  description = "Name of the environment: a part of every name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "environment has 2 to 12 lower-case letters and digits, such as dev or prod."
  }
}

variable "region" {
  description = "Region of all."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is like eu-central-1."
  }
}

variable "disposable" {
  description = "Whether `terraform destroy` removes everything, data too: for environments that hold none to keep."
  type        = bool
  default     = false
}

variable "namespace" {
  description = "Kubernetes namespace of the pipeline."
  type        = string
  default     = "onpoint"
}

variable "cidr" {
  description = "Addresses of the VPC: a private /16."
  type        = string
  default     = "10.20.0.0/16"
}

variable "zones" {
  description = "The three availability zones; empty: the region's first three."
  type        = list(string)
  default     = []
}

variable "one_nat" {
  description = "Whether the zones share one NAT gateway."
  type        = bool
  default     = false
}

variable "interface_endpoints" {
  description = "AWS services that are reached within the VPC instead of through NAT."
  type        = set(string)
  default     = []
}

variable "kubernetes_version" {
  description = "Version of Kubernetes."
  type        = string
  default     = "1.33"
}

variable "public_cidrs" {
  description = "Addresses from which the cluster's API can be reached over the internet; none: from within the VPC only."
  type        = list(string)
  default     = []
}

variable "administrators" {
  description = "ARNs of IAM roles that administer the cluster, by a name for each."
  type        = map(string)
  default     = {}
}

variable "nodes" {
  description = "The nodes of the cluster."
  type = object({
    instance_types = optional(list(string), ["m5.2xlarge"])
    min            = optional(number, 2)
    desired        = optional(number, 4)
    max            = optional(number, 20)
    disk_gb        = optional(number, 100)
  })
  default = {}
}

variable "data_database" {
  description = "PostgreSQL of the pipeline."
  type = object({
    engine_version   = optional(string, "17")
    instance_class   = optional(string, "db.r5.2xlarge")
    storage_gb       = optional(number, 100)
    storage_limit_gb = optional(number, 1000)
    multi_az         = optional(bool, true)
    backup_days      = optional(number, 7)
    most_connections = optional(number, 400)
  })
  default = {}
}

variable "airflow_database" {
  description = "PostgreSQL of Airflow's metadata."
  type = object({
    engine_version   = optional(string, "17")
    instance_class   = optional(string, "db.m5.large")
    storage_gb       = optional(number, 50)
    storage_limit_gb = optional(number, 200)
    multi_az         = optional(bool, true)
    backup_days      = optional(number, 7)
    most_connections = optional(number, 200)
  })
  default = {}
}

variable "slot_keep_mb" {
  description = "MB of the log of changes that are kept for a reader that stopped. Beyond, its slot is lost."
  type        = number
  default     = 20480

  validation {
    condition     = var.slot_keep_mb <= var.data_database.storage_gb * 1024 / 2
    error_message = "slot_keep_mb is at most half of the database's disk, or a reader that stopped could fill it."
  }
}

variable "postgres_ca_file" {
  description = "File of RDS's CA certificates, as the pods see it; null: certificates are not verified."
  type        = string
  default     = null
}

variable "kafka" {
  description = "The Kafka cluster, and its users; null: Kafka is in Kubernetes, by Strimzi."
  type = object({
    version          = optional(string, "3.9.x")
    brokers          = optional(number, 3)
    instance_type    = optional(string, "kafka.m5.large")
    storage_gb       = optional(number, 100)
    storage_limit_gb = optional(number, 1000)
    users = optional(set(string), [
      "crawler", "processor", "converter", "loader", "s3sink", "quality",
      "lineage", "cdc", "connect", "console", "operator", "airflow", "topics",
    ])
  })
  default = null
}

variable "airflow_executor" {
  description = "How Airflow runs its tasks. CeleryExecutor has a Redis."
  type        = string
  default     = "KubernetesExecutor"

  validation {
    condition     = contains(["KubernetesExecutor", "CeleryExecutor"], var.airflow_executor)
    error_message = "airflow_executor is KubernetesExecutor or CeleryExecutor."
  }
}

variable "redis" {
  description = "The Redis of CeleryExecutor."
  type = object({
    node_type = optional(string, "cache.r5.xlarge")
    copies    = optional(number, 2)
  })
  default = {}
}

variable "dms" {
  description = "Change capture by AWS DMS; null: by Kafka Connect."
  type = object({
    instance_class     = optional(string, "dms.r5.large")
    storage_gb         = optional(number, 100)
    multi_az           = optional(bool, true)
    make_account_roles = optional(bool, true)
  })
  default = null
}

variable "archive_after_days" {
  description = "Days after which objects of the lake go to each cheaper class."
  type = object({
    standard_ia  = optional(number, 30)
    glacier      = optional(number, 90)
    deep_archive = optional(number, 365)
  })
  default = {}
}

variable "archived_prefixes" {
  description = "Prefixes of the lake that are archived; null: all but the listings."
  type        = list(string)
  default     = null
}

variable "staging_ttl_hours" {
  description = "ONPOINT_STAGING_TTL_HOURS: hours after which the sweep removes a run's artifacts."
  type        = number
  default     = 168
}

variable "staging_expiry_days" {
  description = "Days after which S3 removes what a run has in staging, its manifests too."
  type        = number
  default     = 90
}

variable "password_versions" {
  description = "Raised by one, each gives its users a new password."
  type = object({
    kafka    = optional(number, 1)
    postgres = optional(number, 1)
    connect  = optional(number, 1)
    airflow  = optional(number, 1)
    control  = optional(number, 1)
    dms      = optional(number, 1)
  })
  default = {}
}

variable "alarm_emails" {
  description = "Who gets the alarms."
  type        = set(string)
}

variable "budget_usd" {
  description = "US dollars that a month may cost."
  type        = number
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_days)
    error_message = "CloudWatch Logs keeps for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731 ... days."
  }
}
