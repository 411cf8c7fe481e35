variable "name" {
  description = "Name of the bucket, unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits and hyphens; with a dot its certificate would not match."
  }
}

variable "partition" {
  description = "Partition of ARNs: aws, aws-cn or aws-us-gov."
  type        = string
}

variable "encrypted_by_key" {
  description = "Whether objects are encrypted by kms_key_arn; else by S3's own keys."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the objects."
  type        = string
  default     = null
}

variable "access_logs_bucket" {
  description = "Name of the bucket that takes the access logs; null: none are written."
  type        = string
  default     = null
}

variable "takes_access_logs_of_account" {
  description = "Id of the account whose buckets may write access logs here; null: none."
  type        = string
  default     = null
}

variable "force_destroy" {
  description = "Whether `terraform destroy` removes the bucket with its objects."
  type        = bool
  default     = false
}
