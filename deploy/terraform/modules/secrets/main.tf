# Secrets of the pipeline that are no one's but its own. Their values are made while Terraform runs and written past its
# state: none is in the state, in a plan or in a log.

locals {
  # Secrets of one login have one password.
  password_of = { for name, secret in var.secrets : name => coalesce(secret.password, name) }
}

ephemeral "aws_secretsmanager_random_password" "this" {
  for_each = toset(values(local.password_of))

  password_length     = 40
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "this" {
  # checkov:skip=CKV2_AWS_57:password_version rotates it; docs/deploy/aws.md tells the order
  for_each = var.secrets

  name                    = "${var.name}/${each.key}"
  description             = each.value.description
  kms_key_id              = var.secrets_key_arn
  recovery_window_in_days = var.recovery_days
}

resource "aws_secretsmanager_secret_version" "this" {
  for_each = var.secrets

  secret_id                = aws_secretsmanager_secret.this[each.key].id
  secret_string_wo_version = each.value.version
  # Text with `{password}` in it, such as the address of a database.
  secret_string_wo = replace(each.value.text, "{password}", ephemeral.aws_secretsmanager_random_password.this[local.password_of[each.key]].random_password)
}
