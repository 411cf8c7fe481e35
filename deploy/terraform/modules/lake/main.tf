# The two buckets of the pipeline, and one for the access logs of both.

locals {
  lake    = "${var.name}-lake-${var.account_id}"
  staging = "${var.name}-staging-${var.account_id}"
  logs    = "${var.name}-access-logs-${var.account_id}"

  # S3 knows prefixes to include and none to leave out. What must be readable at once begins with an underscore
  # (the listings `_runs/` and `_datasets/`); datasets, `exports/` and `cdc/` begin with a letter.
  archived = coalesce(var.archived_prefixes, split("", "abcdefghijklmnopqrstuvwxyz"))
}

module "access_logs" {
  source = "../bucket"

  name                         = local.logs
  partition                    = var.partition
  encrypted_by_key             = false
  takes_access_logs_of_account = var.account_id
  force_destroy                = var.force_destroy
}

module "lake" {
  source = "../bucket"

  name               = local.lake
  partition          = var.partition
  kms_key_arn        = var.kms_key_arn
  access_logs_bucket = module.access_logs.name
  force_destroy      = var.force_destroy
}

module "staging" {
  source = "../bucket"

  name               = local.staging
  partition          = var.partition
  kms_key_arn        = var.kms_key_arn
  access_logs_bucket = module.access_logs.name
  force_destroy      = var.force_destroy
}

resource "aws_s3_bucket_lifecycle_configuration" "lake" {
  bucket = module.lake.name
  # Below that size the cheaper classes cost more than they save.
  transition_default_minimum_object_size = "all_storage_classes_128K"

  rule {
    id     = "clean-up"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = var.abort_uploads_after_days
    }

    # What was deleted or replaced can be brought back for so long.
    noncurrent_version_expiration {
      noncurrent_days = var.lake_noncurrent_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  dynamic "rule" {
    for_each = local.archived

    content {
      id     = "archive-${trimsuffix(rule.value, "/")}"
      status = "Enabled"

      filter {
        prefix = rule.value
      }

      transition {
        days          = var.archive_after_days.standard_ia
        storage_class = "STANDARD_IA"
      }

      transition {
        days          = var.archive_after_days.glacier
        storage_class = "GLACIER"
      }

      transition {
        days          = var.archive_after_days.deep_archive
        storage_class = "DEEP_ARCHIVE"
      }
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "staging" {
  bucket = module.staging.name

  rule {
    id     = "clean-up"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = var.abort_uploads_after_days
    }

    noncurrent_version_expiration {
      noncurrent_days = var.staging_noncurrent_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  # Behind the sweep, which removes artifacts much earlier. The versions of columns in `schemas/` stay for ever.
  rule {
    id     = "expire-runs"
    status = "Enabled"

    filter {
      prefix = "runs/"
    }

    expiration {
      days = var.staging_expiry_days
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "access_logs" {
  bucket = module.access_logs.name

  rule {
    id     = "expire"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = var.abort_uploads_after_days
    }

    expiration {
      days = var.access_logs_days
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }
}
