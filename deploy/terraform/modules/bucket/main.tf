# One bucket that is private, encrypted, versioned, and reached by TLS alone.

resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV_AWS_144:A copy in another region doubles the cost; docs/deploy/aws.md tells what a lost region costs
  # checkov:skip=CKV2_AWS_62:Kafka tells of new objects; a notification of S3 would have no reader
  # checkov:skip=CKV2_AWS_61:Its module makes the lifecycle
  # checkov:skip=CKV_AWS_145:S3 writes access logs only into a bucket that is encrypted by S3's own keys
  # checkov:skip=CKV_AWS_18:The bucket of access logs keeps none of itself
  bucket        = var.name
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# Access is by policies alone: an object has no list of its own.
resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    # One data key for many objects: else each object costs a call of KMS.
    bucket_key_enabled = var.encrypted_by_key

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.encrypted_by_key ? "aws:kms" : "AES256"
      kms_master_key_id = var.encrypted_by_key ? var.kms_key_arn : null
    }
  }
}

resource "aws_s3_bucket_logging" "this" {
  count = var.access_logs_bucket == null ? 0 : 1

  bucket        = aws_s3_bucket.this.id
  target_bucket = var.access_logs_bucket
  target_prefix = "${var.name}/"
}

locals {
  # Made of the name, so that the policy is known before the bucket is there.
  arn = "arn:${var.partition}:s3:::${var.name}"
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "DenyWithoutTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.arn, "${local.arn}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid       = "DenyOldTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.arn, "${local.arn}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "s3:TlsVersion"
      values   = ["1.2"]
    }
  }

  dynamic "statement" {
    for_each = var.takes_access_logs_of_account == null ? [] : [var.takes_access_logs_of_account]

    content {
      sid       = "TakeAccessLogs"
      actions   = ["s3:PutObject"]
      resources = ["${local.arn}/*"]

      principals {
        type        = "Service"
        identifiers = ["logging.s3.amazonaws.com"]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [statement.value]
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = data.aws_iam_policy_document.this.json

  # S3 refuses both at once on one bucket.
  depends_on = [aws_s3_bucket_public_access_block.this]
}
