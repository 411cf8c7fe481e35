# Makes topics and ACLs. A pod that runs once takes it; no service does.

locals {
  msk = "arn:${var.partition}:kafka:${var.region}:${var.account_id}"
}

data "aws_iam_policy_document" "administrator" {
  statement {
    sid = "Cluster"
    actions = [
      "kafka-cluster:Connect",
      "kafka-cluster:DescribeCluster",
      "kafka-cluster:AlterCluster",
      "kafka-cluster:DescribeClusterDynamicConfiguration",
    ]
    resources = ["${local.msk}:cluster/${var.name}/*"]
  }

  statement {
    sid = "Topics"
    actions = [
      "kafka-cluster:CreateTopic",
      "kafka-cluster:DescribeTopic",
      "kafka-cluster:AlterTopic",
      "kafka-cluster:DescribeTopicDynamicConfiguration",
      "kafka-cluster:AlterTopicDynamicConfiguration",
    ]
    resources = ["${local.msk}:topic/${var.name}/*"]
  }
}

data "aws_iam_policy_document" "administrator_trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${replace(var.oidc_issuer_url, "https://", "")}:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "${replace(var.oidc_issuer_url, "https://", "")}:sub"
      values   = ["system:serviceaccount:${var.namespace}:kafka-administrator"]
    }
  }
}

resource "aws_iam_role" "administrator" {
  name               = "${var.name}-kafka-administrator"
  assume_role_policy = data.aws_iam_policy_document.administrator_trust.json
}

resource "aws_iam_role_policy" "administrator" {
  name   = "topics-and-acls"
  role   = aws_iam_role.administrator.id
  policy = data.aws_iam_policy_document.administrator.json
}
