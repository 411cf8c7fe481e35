output "name" {
  description = "Name of the bucket, behind its making."
  value       = aws_s3_bucket.this.bucket
}

output "arn" {
  description = "ARN of the bucket; known before it is there."
  value       = local.arn
}
