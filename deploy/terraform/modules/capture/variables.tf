variable "name" {
  description = "Name of the task, and begin of its parts' names."
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
  description = "Region of the task."
  type        = string
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of subnets with a way to Secrets Manager: the private ones."
  type        = list(string)
}

variable "instance_class" {
  description = "Size of the replication instance."
  type        = string
  default     = "dms.r5.large"

  validation {
    condition     = startswith(var.instance_class, "dms.")
    error_message = "instance_class begins with dms., such as dms.r5.large."
  }
}

variable "storage_gb" {
  description = "GB for changes that do not fit into memory."
  type        = number
  default     = 100
}

variable "multi_az" {
  description = "Whether a standby in another zone takes over."
  type        = bool
}

variable "database" {
  description = "Name of the database."
  type        = string
}

variable "database_security_group_id" {
  description = "Id of the database's security group."
  type        = string
}

variable "source_secret_arn" {
  description = "ARN of the secret with username, password, host and port of the login that reads changes."
  type        = string
}

variable "lake_bucket" {
  description = "Name of the bucket of the data lake."
  type        = string
}

variable "lake_bucket_arn" {
  description = "ARN of the bucket of the data lake."
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

variable "make_account_roles" {
  description = "Whether to make the roles dms-vpc-role and dms-cloudwatch-logs-role, of which an account has one each."
  type        = bool
  default     = true
}
