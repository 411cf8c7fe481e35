variable "name" {
  description = "Name of the group."
  type        = string

  validation {
    condition     = length(var.name) <= 40
    error_message = "ElastiCache takes names of 40 characters at most."
  }
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of the subnets of the servers."
  type        = list(string)
}

variable "client_security_group_id" {
  description = "Id of the security group of the nodes and pods."
  type        = string
}

variable "node_type" {
  description = "Size of a server."
  type        = string

  validation {
    condition     = startswith(var.node_type, "cache.")
    error_message = "node_type begins with cache., such as cache.r5.xlarge."
  }
}

variable "copies" {
  description = "How many servers: the first, and those that can take over."
  type        = number

  validation {
    condition     = var.copies >= 1 && var.copies <= 6
    error_message = "copies is from 1 to 6."
  }
}

variable "data_key_arn" {
  description = "ARN of the key that encrypts data."
  type        = string
}
