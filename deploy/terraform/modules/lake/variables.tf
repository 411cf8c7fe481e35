variable "name" {
  description = "Begin of the buckets' names."
  type        = string
}

variable "account_id" {
  description = "Id of the AWS account: it makes the names unique in the world."
  type        = string
}

variable "partition" {
  description = "Partition of ARNs: aws, aws-cn or aws-us-gov."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the objects."
  type        = string
}

variable "archive_after_days" {
  description = "Days after which objects of the lake go to each cheaper class."
  type = object({
    standard_ia  = optional(number, 30)
    glacier      = optional(number, 90)
    deep_archive = optional(number, 365)
  })
  default = {}

  validation {
    condition     = var.archive_after_days.standard_ia >= 30
    error_message = "S3 moves nothing to STANDARD_IA before 30 days."
  }

  validation {
    condition = (
      var.archive_after_days.glacier >= var.archive_after_days.standard_ia + 30 &&
      var.archive_after_days.deep_archive >= var.archive_after_days.glacier + 90
    )
    error_message = "STANDARD_IA is charged for 30 days and GLACIER for 90: let as many pass before the next class."
  }
}

variable "archived_prefixes" {
  description = "Prefixes of the lake that are archived; null: all that begins with a letter, which leaves the listings out."
  type        = list(string)
  default     = null

  validation {
    condition = alltrue([
      for prefix in coalesce(var.archived_prefixes, []) : can(regex("^[a-z][a-z0-9_]*/?$", prefix))
    ])
    error_message = "A prefix is a dataset's name, exports/ or cdc/: an archived listing (_runs/, _datasets/) would stop the sweep."
  }
}

variable "staging_ttl_hours" {
  description = "ONPOINT_STAGING_TTL_HOURS: hours after which the sweep removes a run's artifacts."
  type        = number
  default     = 168

  validation {
    condition     = var.staging_ttl_hours >= 0 && var.staging_ttl_hours <= 87600
    error_message = "staging_ttl_hours is from 0 to 87600."
  }
}

variable "staging_expiry_days" {
  description = "Days after which S3 removes what a run has in staging, its manifests too."
  type        = number
  default     = 90

  validation {
    # The sweep counts from a run's end and S3 from an object's writing: a run that takes long, or is replayed, needs the rest.
    condition     = var.staging_expiry_days >= ceil(var.staging_ttl_hours / 24) + 30
    error_message = "staging_expiry_days must be 30 days above the TTL of the sweep (staging_ttl_hours), or S3 could remove what a run still reads."
  }
}

variable "lake_noncurrent_days" {
  description = "Days that deleted and replaced versions of the lake are kept."
  type        = number
  default     = 30

  validation {
    condition     = var.lake_noncurrent_days >= 1
    error_message = "lake_noncurrent_days is at least 1."
  }
}

variable "staging_noncurrent_days" {
  description = "Days that deleted and replaced versions of staging are kept."
  type        = number
  default     = 3

  validation {
    condition     = var.staging_noncurrent_days >= 1
    error_message = "staging_noncurrent_days is at least 1."
  }
}

variable "abort_uploads_after_days" {
  description = "Days after which S3 aborts an unfinished upload. The sweep does so after a day."
  type        = number
  default     = 3

  validation {
    condition     = var.abort_uploads_after_days >= 1
    error_message = "abort_uploads_after_days is at least 1."
  }
}

variable "access_logs_days" {
  description = "Days that access logs are kept."
  type        = number
  default     = 90
}

variable "force_destroy" {
  description = "Whether `terraform destroy` removes the buckets with their objects."
  type        = bool
  default     = false
}
