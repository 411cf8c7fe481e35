variable "name" {
  description = "Name of the VPC, and begin of its parts' names."
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
  description = "Region of the VPC."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC: private ones, a /16."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    condition = (
      can(cidrnetmask(var.cidr)) && endswith(var.cidr, "/16") &&
      can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.cidr))
    )
    error_message = "cidr is a private /16, such as 10.20.0.0/16: each pod has an address of it."
  }
}

variable "zones" {
  description = "The three availability zones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.zones)) == 3 && length(var.zones) == 3
    error_message = "Three different zones are needed: Kafka keeps three copies, each in a zone of its own."
  }
}

variable "one_nat" {
  description = "Whether the zones share one NAT gateway: a third of the price, and no way out when its zone is lost."
  type        = bool
  default     = false
}

variable "interface_endpoints" {
  description = "AWS services that are reached within the VPC instead of through NAT, such as sts or ecr.dkr."
  type        = set(string)
  default     = []
}

variable "flow_logs" {
  description = "Which connections the flow logs have: ALL, or REJECT alone."
  type        = string
  default     = "REJECT"

  validation {
    condition     = contains(["ALL", "REJECT"], var.flow_logs)
    error_message = "flow_logs is ALL or REJECT."
  }
}

variable "log_days" {
  description = "Days that flow logs are kept."
  type        = number
}

variable "logs_key_arn" {
  description = "ARN of the key that encrypts logs."
  type        = string
}
