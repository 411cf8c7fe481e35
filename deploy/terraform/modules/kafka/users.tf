# A user of SCRAM for each service. MSK reads them from Secrets Manager, from secrets with this begin of their names and a
# key of one's own. The passwords are made while Terraform runs and written past its state.

ephemeral "aws_secretsmanager_random_password" "user" {
  for_each = var.users

  password_length     = 40
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "user" {
  # checkov:skip=CKV2_AWS_57:password_version rotates it; docs/deploy/aws.md tells the order
  for_each = var.users

  name                    = "AmazonMSK_${var.name}_${each.key}"
  description             = "Kafka user ${each.key} of ${var.name}"
  kms_key_id              = var.secrets_key_arn
  recovery_window_in_days = var.recovery_days
}

resource "aws_secretsmanager_secret_version" "user" {
  for_each = var.users

  secret_id                = aws_secretsmanager_secret.user[each.key].id
  secret_string_wo_version = var.password_version
  secret_string_wo = jsonencode({
    username = each.key
    password = ephemeral.aws_secretsmanager_random_password.user[each.key].random_password
  })
}

data "aws_iam_policy_document" "user" {
  for_each = var.users

  statement {
    sid       = "ReadByTheBrokers"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.user[each.key].arn]

    principals {
      type        = "Service"
      identifiers = ["kafka.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

resource "aws_secretsmanager_secret_policy" "user" {
  for_each = var.users

  secret_arn          = aws_secretsmanager_secret.user[each.key].arn
  policy              = data.aws_iam_policy_document.user[each.key].json
  block_public_policy = true
}

resource "aws_msk_scram_secret_association" "this" {
  cluster_arn     = aws_msk_cluster.this.arn
  secret_arn_list = [for user in sort(tolist(var.users)) : aws_secretsmanager_secret.user[user].arn]

  depends_on = [aws_secretsmanager_secret_version.user, aws_secretsmanager_secret_policy.user]
}
