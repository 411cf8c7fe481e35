output "name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "endpoint" {
  description = "Address of the API."
  value       = aws_eks_cluster.this.endpoint
}

output "security_group_id" {
  description = "Id of the security group of the nodes and pods."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "oidc_provider_arn" {
  description = "ARN of the provider that vouches for the cluster's tokens."
  value       = aws_iam_openid_connect_provider.this.arn
}

output "oidc_issuer_url" {
  description = "URL of the issuer of the cluster's tokens."
  value       = aws_eks_cluster.this.identity[0].oidc[0].issuer
}

output "autoscaler_role_arn" {
  description = "ARN of the role of the cluster autoscaler."
  value       = aws_iam_role.system["autoscaler"].arn
}
