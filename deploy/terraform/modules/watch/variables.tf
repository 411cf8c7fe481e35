variable "name" {
  description = "Begin of the alarms' names."
  type        = string
}

variable "account_id" {
  description = "Id of the AWS account."
  type        = string
}

variable "emails" {
  description = "Who gets the alarms. Each address gets a mail first, whose link has to be followed."
  type        = set(string)

  validation {
    condition     = length(var.emails) > 0 && alltrue([for email in var.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "At least one address is needed, each like team@example.org: an alarm without a reader is none."
  }
}

variable "databases" {
  description = "The PostgreSQL servers by their role, with the bounds of their alarms."
  type = map(object({
    identifier       = string
    least_free_gb    = number
    most_connections = number
    most_slot_bytes  = optional(number)
  }))
}

variable "kafka" {
  description = "Name and number of brokers of the Kafka cluster; null: there is none."
  type        = object({ name = string, brokers = number })
  default     = null
}

variable "redis_id" {
  description = "Id of the Redis group; null: there is none."
  type        = string
  default     = null
}

variable "budget_usd" {
  description = "US dollars that a month may cost."
  type        = number

  validation {
    condition     = var.budget_usd > 0
    error_message = "budget_usd is above 0."
  }
}

variable "logs_key_arn" {
  description = "ARN of the key that encrypts logs and alarms."
  type        = string
}
