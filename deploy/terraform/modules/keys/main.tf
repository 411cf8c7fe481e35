# Keys of KMS: one for each kind of thing, so that who may read logs may not read data.

locals {
  purposes = {
    data    = "buckets, databases and brokers"
    cluster = "secrets of Kubernetes, and disks of its nodes"
    secrets = "Secrets Manager"
    logs    = "CloudWatch Logs and alarms"
  }
}

data "aws_iam_policy_document" "this" {
  # checkov:skip=CKV_AWS_109:In a key's policy the resource * is the key itself
  # checkov:skip=CKV_AWS_111:In a key's policy the resource * is the key itself
  # checkov:skip=CKV_AWS_356:In a key's policy the resource * is the key itself
  for_each = local.purposes

  # Without it no policy of IAM could grant the key, and a lost administrator could never be replaced.
  statement {
    sid       = "GrantByPolicies"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${var.partition}:iam::${var.account_id}:root"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "logs" ? [1] : []

    content {
      sid       = "EncryptLogs"
      actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
      resources = ["*"]

      principals {
        type        = "Service"
        identifiers = ["logs.${var.region}.amazonaws.com"]
      }

      condition {
        test     = "ArnLike"
        variable = "kms:EncryptionContext:aws:logs:arn"
        values   = ["arn:${var.partition}:logs:${var.region}:${var.account_id}:log-group:*"]
      }
    }
  }

  dynamic "statement" {
    for_each = each.key == "logs" ? [1] : []

    content {
      sid       = "PublishAlarms"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
      resources = ["*"]

      principals {
        type        = "Service"
        identifiers = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [var.account_id]
      }
    }
  }

  dynamic "statement" {
    for_each = each.key == "cluster" ? [1] : []

    content {
      sid       = "EncryptDisksOfNodes"
      actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
      resources = ["*"]

      principals {
        type        = "AWS"
        identifiers = [local.autoscaling]
      }
    }
  }

  dynamic "statement" {
    for_each = each.key == "cluster" ? [1] : []

    content {
      sid       = "AttachDisksOfNodes"
      actions   = ["kms:CreateGrant"]
      resources = ["*"]

      principals {
        type        = "AWS"
        identifiers = [local.autoscaling]
      }

      condition {
        test     = "Bool"
        variable = "kms:GrantIsForAWSResource"
        values   = ["true"]
      }
    }
  }
}

locals {
  # AWS makes this role with the account's first Auto Scaling group; docs/deploy/aws.md tells how to make it before.
  autoscaling = "arn:${var.partition}:iam::${var.account_id}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
}

resource "aws_kms_key" "this" {
  for_each = local.purposes

  description             = "${var.name}: ${each.value}"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_window_days
  policy                  = data.aws_iam_policy_document.this[each.key].json
}

resource "aws_kms_alias" "this" {
  for_each = local.purposes

  name          = "alias/${var.name}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}
