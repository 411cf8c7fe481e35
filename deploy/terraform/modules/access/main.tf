# A role for each service account of Kubernetes. A pod gets it by its token (IAM roles for service accounts).

locals {
  rights  = yamldecode(file("${path.module}/s3_rights.yaml"))
  buckets = var.bucket_arns

  verbs = {
    read       = { effect = "Allow", actions = ["s3:GetObject"] }
    write      = { effect = "Allow", actions = ["s3:PutObject", "s3:AbortMultipartUpload"] }
    delete     = { effect = "Allow", actions = ["s3:DeleteObject"] }
    uploads    = { effect = "Allow", actions = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"] }
    not_write  = { effect = "Deny", actions = ["s3:PutObject"] }
    not_delete = { effect = "Deny", actions = ["s3:DeleteObject"] }
  }

  of_objects = {
    for account, granted in local.rights : account => flatten([
      for bucket in sort(keys(granted)) : [
        for verb in ["read", "write", "delete", "uploads", "not_write", "not_delete"] : {
          sid       = "${title(bucket)}${join("", [for word in split("_", verb) : title(word)])}"
          effect    = local.verbs[verb].effect
          actions   = local.verbs[verb].actions
          resources = [for key in granted[bucket][verb] : "${local.buckets[bucket]}/${key}"]
        } if contains(keys(granted[bucket]), verb)
      ]
    ])
  }

  of_buckets = {
    for account, granted in local.rights : account => flatten([
      for bucket in sort(keys(granted)) : [
        {
          sid = "${title(bucket)}Names"
          actions = concat(
            contains(keys(granted[bucket]), "list") ? ["s3:ListBucket"] : [],
            contains(keys(granted[bucket]), "uploads") ? ["s3:ListBucketMultipartUploads"] : [],
          )
          resources = [local.buckets[bucket]]
        }
      ] if length(setintersection(keys(granted[bucket]), ["list", "uploads"])) > 0
    ])
  }

  issuer = replace(var.oidc_issuer_url, "https://", "")
}

data "aws_iam_policy_document" "s3" {
  for_each = local.rights

  dynamic "statement" {
    for_each = concat(
      [for statement in local.of_buckets[each.key] : merge(statement, { effect = "Allow" })],
      local.of_objects[each.key],
    )

    content {
      sid       = statement.value.sid
      effect    = statement.value.effect
      actions   = statement.value.actions
      resources = statement.value.resources
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
