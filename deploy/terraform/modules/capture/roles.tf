data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["dms.amazonaws.com", "dms.${var.region}.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

data "aws_iam_policy_document" "lake" {
  statement {
    sid       = "Names"
    actions   = ["s3:ListBucket"]
    resources = [var.lake_bucket_arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${local.target.BucketFolder}/*", local.target.BucketFolder]
    }
  }

  statement {
    sid       = "Changes"
    actions   = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${var.lake_bucket_arn}/${local.target.BucketFolder}/*"]
  }

  statement {
    sid       = "Encrypt"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.data_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "secret" {
  statement {
    sid       = "Login"
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = [var.source_secret_arn]
  }

  statement {
    sid       = "Decrypt"
    actions   = ["kms:Decrypt"]
    resources = [var.secrets_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${var.region}.amazonaws.com"]
    }
  }
}

locals {
  policies = {
    lake   = data.aws_iam_policy_document.lake.json
    secret = data.aws_iam_policy_document.secret.json
  }

  # DMS looks for roles of these names, one of each in an account.
  account_roles = var.make_account_roles ? {
    dms-vpc-role             = "AmazonDMSVPCManagementRole"
    dms-cloudwatch-logs-role = "AmazonDMSCloudWatchLogsRole"
  } : {}
}

resource "aws_iam_role" "this" {
  for_each = local.policies

  name               = "${var.name}-dms-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "this" {
  for_each = local.policies

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = each.value
}

resource "aws_iam_role" "account" {
  for_each = local.account_roles

  name               = each.key
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy_attachment" "account" {
  for_each = local.account_roles

  role       = aws_iam_role.account[each.key].name
  policy_arn = "arn:${var.partition}:iam::aws:policy/service-role/${each.value}"
}
