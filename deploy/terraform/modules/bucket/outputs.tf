output "name" {
  description = "Name of the bucket, once it is there with its policy."
  value       = aws_s3_bucket.this.bucket

  # S3 takes a bucket for access logs once its policy allows them.
  depends_on = [aws_s3_bucket_policy.this]
}

output "arn" {
  description = "ARN of the bucket; known before it is there."
  value       = local.arn
}
