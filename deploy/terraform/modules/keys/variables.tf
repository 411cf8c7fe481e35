variable "name" {
  description = "Begin of the keys' aliases."
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

variable "region" {
  description = "Region of the keys."
  type        = string
}

variable "deletion_window_days" {
  description = "Days in which a deleted key can be brought back. Without its key data is lost."
  type        = number
  default     = 30

  validation {
    condition     = var.deletion_window_days >= 7 && var.deletion_window_days <= 30
    error_message = "deletion_window_days is from 7 to 30."
  }
}
