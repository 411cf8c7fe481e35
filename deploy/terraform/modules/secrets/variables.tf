variable "name" {
  description = "Begin of the secrets' names."
  type        = string
}

variable "secrets" {
  description = "The secrets by name: what each is, its text, in which {password} becomes a random one, the name of that password where several share it, and its version."
  type = map(object({
    description = string
    text        = optional(string, "{password}")
    password    = optional(string)
    version     = optional(number, 1)
  }))
}

variable "secrets_key_arn" {
  description = "ARN of the key that encrypts secrets."
  type        = string
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
