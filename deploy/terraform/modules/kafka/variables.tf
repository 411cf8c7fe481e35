variable "name" {
  description = "Name of the cluster."
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
  description = "Region of the cluster."
  type        = string
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of the subnets of the servers, one in each of three zones."
  type        = list(string)
}

variable "client_security_group_id" {
  description = "Id of the security group of the nodes and pods."
  type        = string
}

variable "kafka_version" {
  description = "Version of Kafka as MSK names it."
  type        = string
  default     = "3.9.x"

  validation {
    condition     = can(regex("^[34]\\.[0-9]+\\.(x|[0-9]+)(\\.kraft)?$", var.kafka_version))
    error_message = "kafka_version is as MSK names it, such as 3.9.x or 3.9.x.kraft."
  }
}

variable "brokers" {
  description = "How many brokers: a multiple of three."
  type        = number
  default     = 3

  validation {
    condition     = var.brokers >= 3 && var.brokers % 3 == 0
    error_message = "brokers is a multiple of three, for three zones."
  }
}

variable "instance_type" {
  description = "Size of a broker."
  type        = string

  validation {
    condition     = startswith(var.instance_type, "kafka.")
    error_message = "instance_type begins with kafka., such as kafka.m5.large."
  }
}

variable "storage_gb" {
  description = "GB of each broker's disk at first."
  type        = number
}

variable "storage_limit_gb" {
  description = "GB up to which each broker's disk grows by itself. It never shrinks."
  type        = number

  validation {
    condition     = var.storage_limit_gb >= var.storage_gb
    error_message = "storage_limit_gb is at least storage_gb."
  }
}

variable "users" {
  description = "Users of SCRAM."
  type        = set(string)

  validation {
    condition     = alltrue([for user in var.users : can(regex("^[a-z][a-z0-9-]*$", user))])
    error_message = "A user's name has lower-case letters, digits and hyphens."
  }
}

variable "password_version" {
  description = "Raised by one, it gives each user a new password."
  type        = number
  default     = 1
}

variable "recovery_days" {
  description = "Days in which a deleted secret can be brought back; 0: none, and its name is free at once."
  type        = number
  default     = 30

  validation {
    condition     = var.recovery_days == 0 || (var.recovery_days >= 7 && var.recovery_days <= 30)
    error_message = "recovery_days is 0, or from 7 to 30."
  }
}

variable "namespace" {
  description = "Namespace of the pipeline's service accounts."
  type        = string
}

variable "oidc_provider_arn" {
  description = "ARN of the provider that vouches for the cluster's tokens."
  type        = string
}

variable "oidc_issuer_url" {
  description = "URL of the issuer of the cluster's tokens."
  type        = string
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

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
}
