locals {
  issuer = replace(aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://", "")

  # Of the cluster's own pods, by the service account of each.
  system_accounts = {
    network    = "kube-system:aws-node"
    disks      = "kube-system:ebs-csi-controller-sa"
    autoscaler = "kube-system:cluster-autoscaler"
  }
}

data "aws_iam_policy_document" "system_trust" {
  for_each = local.system_accounts

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.this.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${each.value}"]
    }
  }
}

resource "aws_iam_role" "system" {
  for_each = local.system_accounts

  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.system_trust[each.key].json
}

resource "aws_iam_role_policy_attachment" "network" {
  role       = aws_iam_role.system["network"].name
  policy_arn = "arn:${var.partition}:iam::aws:policy/AmazonEKS_CNI_Policy"
}

resource "aws_iam_role_policy_attachment" "disks" {
  role       = aws_iam_role.system["disks"].name
  policy_arn = "arn:${var.partition}:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
}

# Without it the network policies of the pipeline are accepted and hold nothing back.
resource "aws_eks_addon" "network" {
  cluster_name             = aws_eks_cluster.this.name
  addon_name               = "vpc-cni"
  service_account_role_arn = aws_iam_role.system["network"].arn
  configuration_values     = jsonencode({ enableNetworkPolicy = "true" })

  depends_on = [aws_iam_role_policy_attachment.network]
}

resource "aws_eks_addon" "proxy" {
  cluster_name = aws_eks_cluster.this.name
  addon_name   = "kube-proxy"
}

resource "aws_eks_addon" "disks" {
  cluster_name             = aws_eks_cluster.this.name
  addon_name               = "aws-ebs-csi-driver"
  service_account_role_arn = aws_iam_role.system["disks"].arn

  depends_on = [aws_eks_node_group.this, aws_iam_role_policy_attachment.disks]
}

# Names, and the CPU and memory that pods are scaled by.
resource "aws_eks_addon" "on_nodes" {
  for_each = toset(["coredns", "metrics-server"])

  cluster_name = aws_eks_cluster.this.name
  addon_name   = each.key

  depends_on = [aws_eks_node_group.this]
}

data "aws_iam_policy_document" "autoscaler" {
  # checkov:skip=CKV_AWS_356:The Describe actions take no resource
  statement {
    sid = "Look"
    actions = [
      "autoscaling:DescribeAutoScalingGroups",
      "autoscaling:DescribeAutoScalingInstances",
      "autoscaling:DescribeLaunchConfigurations",
      "autoscaling:DescribeScalingActivities",
      "ec2:DescribeImages",
      "ec2:DescribeInstanceTypes",
      "ec2:DescribeLaunchTemplateVersions",
      "ec2:GetInstanceTypesFromInstanceRequirements",
      "eks:DescribeNodegroup",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "ScaleThisCluster"
    actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = ["arn:${var.partition}:autoscaling:${var.region}:${var.account_id}:autoScalingGroup:*:autoScalingGroupName/*"]

    condition {
      test     = "StringEquals"
      variable = "autoscaling:ResourceTag/eks:cluster-name"
      values   = [var.name]
    }
  }
}

resource "aws_iam_role_policy" "autoscaler" {
  name   = "scale"
  role   = aws_iam_role.system["autoscaler"].id
  policy = data.aws_iam_policy_document.autoscaler.json
}
