variable "name" {
  description = "Name of the server."
  type        = string
}

variable "account_id" {
  description = "Id of the AWS account."
  type        = string
}

variable "partition" {
  description = "Partition of ARNs: aws, aws-cn or aws-us-gov."
  type        = string
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of the subnets of the servers."
  type        = list(string)
}

variable "clients" {
  description = "Ids of the security groups that may connect, by a name for each."
  type        = map(string)
}

variable "database" {
  description = "Name of the first database."
  type        = string
}

variable "engine_version" {
  description = "Version of PostgreSQL: its major number, or major.minor to pin it."
  type        = string
  default     = "17"

  validation {
    condition     = can(regex("^(1[5-9]|[2-9][0-9])(\\.[0-9]+)?$", var.engine_version))
    error_message = "PostgreSQL 15 or later is needed, such as 17 or 17.5."
  }
}

variable "instance_class" {
  description = "Size of the server."
  type        = string

  validation {
    condition     = startswith(var.instance_class, "db.")
    error_message = "instance_class begins with db., such as db.r5.2xlarge."
  }
}

variable "storage_gb" {
  description = "GB of the disk at first."
  type        = number

  validation {
    condition     = var.storage_gb >= 20
    error_message = "storage_gb is at least 20, the least of gp3."
  }
}

variable "storage_limit_gb" {
  description = "GB up to which the disk grows by itself."
  type        = number

  validation {
    condition     = var.storage_limit_gb >= ceil(var.storage_gb * 1.1)
    error_message = "storage_limit_gb is at least a tenth above storage_gb, which RDS asks for."
  }
}

variable "multi_az" {
  description = "Whether a standby in another zone takes over."
  type        = bool
}

variable "backup_days" {
  description = "Days that backups and the log of changes are kept: a restore is to any second of them."
  type        = number
  default     = 7

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "backup_days is from 1 to 35: without backups no restore and no replica is possible."
  }
}

variable "logical_replication" {
  description = "Whether changes can be captured."
  type        = bool
}

variable "slot_keep_mb" {
  description = "MB of the log of changes that are kept for a reader that stopped. Beyond, its slot is lost."
  type        = number
  default     = 51200

  validation {
    condition     = var.slot_keep_mb >= 1024
    error_message = "slot_keep_mb is at least 1024."
  }
}

variable "slow_statement_ms" {
  description = "Milliseconds from which on a statement is logged."
  type        = number
  default     = 1000

  validation {
    condition     = var.slow_statement_ms >= 100
    error_message = "slow_statement_ms is at least 100: below, the log itself is the load."
  }
}

variable "deletion_protection" {
  description = "Whether the server cannot be deleted."
  type        = bool
}

variable "skip_final_snapshot" {
  description = "Whether the server is deleted without a last snapshot."
  type        = bool
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "data_key_arn" {
  description = "ARN of the key that encrypts data."
  type        = string
}

variable "secrets_key_arn" {
  description = "ARN of the key that encrypts secrets."
  type        = string
}

variable "logs_key_arn" {
  description = "ARN of the key that encrypts logs."
  type        = string
}
