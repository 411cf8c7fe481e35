output "role_arns" {
  description = "ARNs of the roles by service account."
  value = merge(
    { for account, role in aws_iam_role.service : account => role.arn },
    { external-secrets = aws_iam_role.external_secrets.arn },
  )
}
