variable "region" {
  description = "Region of all."
  type        = string
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

variable "airflow_executor" {
  description = "KubernetesExecutor, or CeleryExecutor, which has a Redis."
  type        = string
  default     = "KubernetesExecutor"
}

variable "dms" {
  description = "Change capture by AWS DMS; null: by Kafka Connect."
  type = object({
    instance_class     = optional(string)
    storage_gb         = optional(number)
    multi_az           = optional(bool)
    make_account_roles = optional(bool)
  })
  default = null
}

variable "alarm_emails" {
  description = "Who gets the alarms."
  type        = set(string)
}

variable "budget_usd" {
  description = "US dollars that a month may cost."
  type        = number
  default     = 8000
}

variable "archived_prefixes" {
  description = "Prefixes of the lake that are archived, such as posts/ or cdc/; null: all but the listings."
  type        = list(string)
  default     = null
}

variable "password_versions" {
  description = "Raised by one, each gives its users a new password: docs/deploy/aws.md tells the order."
  type = object({
    kafka    = optional(number)
    postgres = optional(number)
    connect  = optional(number)
    airflow  = optional(number)
    control  = optional(number)
    dms      = optional(number)
  })
  default = {}
}
