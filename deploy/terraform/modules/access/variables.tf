variable "name" {
  description = "Begin of the roles' names."
  type        = string
}

variable "region" {
  description = "Region of the buckets and keys."
  type        = string
}

variable "namespace" {
  description = "Namespace of the pipeline's service accounts."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace is the name of a Kubernetes namespace: lower-case letters, digits and hyphens."
  }
}

variable "oidc_provider_arn" {
  description = "ARN of the provider that vouches for the cluster's tokens."
  type        = string
}

variable "oidc_issuer_url" {
  description = "URL of the issuer of the cluster's tokens."
  type        = string
}

variable "bucket_arns" {
  description = "ARNs of the buckets: lake and staging."
  type        = object({ lake = string, staging = string })
}

variable "data_key_arn" {
  description = "ARN of the key that encrypts the buckets."
  type        = string
}

variable "secrets_key_arn" {
  description = "ARN of the key that encrypts the secrets."
  type        = string
}

variable "secret_arn_patterns" {
  description = "ARNs, or patterns of them, of the secrets that External Secrets reads."
  type        = list(string)
}
