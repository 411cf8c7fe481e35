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

variable "kubernetes_version" {
  description = "Version of Kubernetes, such as 1.33. It can be raised by one step at a time, and not lowered."
  type        = string

  validation {
    condition     = can(regex("^1\\.(2[9]|[3-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version is like 1.33, and at least 1.29."
  }
}

variable "subnet_ids" {
  description = "Ids of the private subnets."
  type        = list(string)
}

variable "public_cidrs" {
  description = "Addresses from which the API can be reached over the internet; none: from within the VPC only."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.public_cidrs : can(cidrnetmask(cidr))])
    error_message = "Each of public_cidrs is a block of IPv4 addresses, such as 203.0.113.0/24."
  }

  validation {
    condition     = alltrue([for cidr in var.public_cidrs : try(tonumber(split("/", cidr)[1]), 0) >= 16])
    error_message = "A block of public_cidrs is /16 or smaller: 0.0.0.0/0 would open the API to the world."
  }
}

variable "administrators" {
  description = "ARNs of IAM roles that administer the cluster, by a name for each."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.administrators) : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/", arn))])
    error_message = "An administrator is the ARN of a role or user of IAM, such as arn:aws:iam::123456789012:role/platform."
  }
}

variable "nodes" {
  description = "The nodes: instance types in order of preference, how many, and GB of each one's disk."
  type = object({
    instance_types = optional(list(string), ["m5.2xlarge"])
    min            = optional(number, 2)
    desired        = optional(number, 4)
    max            = optional(number, 20)
    disk_gb        = optional(number, 100)
  })
  default = {}

  validation {
    condition     = var.nodes.min >= 1 && var.nodes.min <= var.nodes.desired && var.nodes.desired <= var.nodes.max
    error_message = "Of the nodes, 1 <= min <= desired <= max."
  }

  validation {
    condition     = var.nodes.disk_gb >= 50
    error_message = "disk_gb is at least 50: images, and the scratch files of batches in work."
  }
}

variable "cluster_key_arn" {
  description = "ARN of the key that encrypts secrets of Kubernetes and disks."
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
