# A role for each service account of Kubernetes. A pod gets it by its token (IAM roles for service accounts).

locals {
  # Of shared/storage/access.py: `make manifests` writes it.
  rights = jsondecode(file("${path.module}/s3_rights.json"))

  issuer = replace(var.oidc_issuer_url, "https://", "")
}

data "aws_iam_policy_document" "s3" {
  for_each = local.rights

  dynamic "statement" {
    for_each = each.value

    content {
      sid     = statement.value.sid
      effect  = statement.value.effect
      actions = statement.value.actions
      resources = length(statement.value.keys) == 0 ? [var.bucket_arns[statement.value.bucket]] : [
        for key in statement.value.keys : "${var.bucket_arns[statement.value.bucket]}/${key}"
      ]
    }
  }
}

# Through S3 alone: with the key itself nothing can be decrypted.
data "aws_iam_policy_document" "key" {
  statement {
    sid       = "ObjectsOfS3"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.data_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "trust" {
  for_each = toset(concat(keys(local.rights), ["external-secrets"]))

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${var.namespace}:${each.key}"]
    }
  }
}

resource "aws_iam_role" "service" {
  for_each = local.rights

  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.trust[each.key].json
}

resource "aws_iam_role_policy" "s3" {
  for_each = local.rights

  name   = "s3"
  role   = aws_iam_role.service[each.key].id
  policy = data.aws_iam_policy_document.s3[each.key].json
}

resource "aws_iam_role_policy" "key" {
  for_each = local.rights

  name   = "key"
  role   = aws_iam_role.service[each.key].id
  policy = data.aws_iam_policy_document.key.json
}

# Figures of runs. The action knows no resource, so the namespace bounds it.
data "aws_iam_policy_document" "figures" {
  # checkov:skip=CKV_AWS_356:cloudwatch:PutMetricData takes no resource; the condition bounds it to one namespace
  # checkov:skip=CKV_AWS_111:cloudwatch:PutMetricData takes no resource; the condition bounds it to one namespace
  statement {
    sid       = "FiguresOfRuns"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = ["OnPoint/DataPipeline"]
    }
  }
}

resource "aws_iam_role_policy" "figures" {
  name   = "figures"
  role   = aws_iam_role.service["quality"].id
  policy = data.aws_iam_policy_document.figures.json
}

# External Secrets reads what the pipeline's pods need, and no other secret of the account.
data "aws_iam_policy_document" "secrets" {
  statement {
    sid       = "SecretsOfThePipeline"
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = var.secret_arn_patterns
  }

  statement {
    sid       = "TheirKey"
    actions   = ["kms:Decrypt"]
    resources = [var.secrets_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${var.region}.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "external_secrets" {
  name               = "${var.name}-external-secrets"
  assume_role_policy = data.aws_iam_policy_document.trust["external-secrets"].json
}

resource "aws_iam_role_policy" "secrets" {
  name   = "secrets"
  role   = aws_iam_role.external_secrets.id
  policy = data.aws_iam_policy_document.secrets.json
}
