variable "name" {
  description = "Begin of the repositories' names."
  type        = string
}

variable "data_key_arn" {
  description = "ARN of the key that encrypts data."
  type        = string
}

variable "force_destroy" {
  description = "Whether `terraform destroy` removes the repositories with their images."
  type        = bool
  default     = false
}
