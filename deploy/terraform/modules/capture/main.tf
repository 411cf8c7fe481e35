# Change capture by AWS DMS, for teams that run it instead of Kafka Connect. The settings are the files of deploy/dms.

locals {
  files    = "${path.module}/../../../dms"
  target   = jsondecode(file("${local.files}/s3-endpoint-settings.json"))
  mappings = jsonencode(jsondecode(file("${local.files}/table-mappings.json")))
  task     = jsonencode(jsondecode(file("${local.files}/task-settings.json")))
}

resource "aws_dms_replication_subnet_group" "this" {
  replication_subnet_group_id          = var.name
  replication_subnet_group_description = "Subnets of ${var.name}"
  subnet_ids                           = var.subnet_ids

  depends_on = [aws_iam_role_policy_attachment.account]
}

resource "aws_security_group" "this" {
  name        = "${var.name}-dms"
  description = "Replication of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-dms" }
}

resource "aws_vpc_security_group_egress_rule" "database" {
  security_group_id            = aws_security_group.this.id
  description                  = "PostgreSQL"
  referenced_security_group_id = var.database_security_group_id
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = var.database_security_group_id
  description                  = "PostgreSQL from DMS"
  referenced_security_group_id = aws_security_group.this.id
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
}

# S3 and Secrets Manager. What they are allowed is in the roles.
resource "aws_vpc_security_group_egress_rule" "aws" {
  # checkov:skip=CKV_AWS_382:One port, for the services of AWS, whose addresses change
  security_group_id = aws_security_group.this.id
  description       = "HTTPS to services of AWS"
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_dms_replication_instance" "this" {
  replication_instance_id      = var.name
  replication_instance_class   = var.instance_class
  allocated_storage            = var.storage_gb
  multi_az                     = var.multi_az
  publicly_accessible          = false
  kms_key_arn                  = var.data_key_arn
  replication_subnet_group_id  = aws_dms_replication_subnet_group.this.id
  vpc_security_group_ids       = [aws_security_group.this.id]
  preferred_maintenance_window = "sun:06:00-sun:07:00"
  auto_minor_version_upgrade   = true
  apply_immediately            = false
}

resource "aws_dms_endpoint" "source" {
  endpoint_id                     = "${var.name}-source"
  endpoint_type                   = "source"
  engine_name                     = "postgres"
  database_name                   = var.database
  ssl_mode                        = "require"
  kms_key_arn                     = var.data_key_arn
  secrets_manager_arn             = var.source_secret_arn
  secrets_manager_access_role_arn = aws_iam_role.this["secret"].arn

  postgres_settings {
    plugin_name = "test-decoding"
    # A quiet database confirms its place in the log too, so that the log does not grow.
    heartbeat_enable    = true
    heartbeat_frequency = 5
    heartbeat_schema    = "public"
    # A value that would be cut ends the task.
    fail_tasks_on_lob_truncation = true
    capture_ddls                 = false
  }
}

resource "aws_dms_s3_endpoint" "target" {
  # checkov:skip=CKV_AWS_298:The bucket's own encryption has a key
  endpoint_id             = "${var.name}-target"
  endpoint_type           = "target"
  bucket_name             = var.lake_bucket
  service_access_role_arn = aws_iam_role.this["lake"].arn
  kms_key_arn             = var.data_key_arn

  bucket_folder                    = local.target.BucketFolder
  data_format                      = local.target.DataFormat
  parquet_version                  = local.target.ParquetVersion
  compression_type                 = local.target.CompressionType
  parquet_timestamp_in_millisecond = local.target.ParquetTimestampInMillisecond
  include_op_for_full_load         = local.target.IncludeOpForFullLoad
  timestamp_column_name            = local.target.TimestampColumnName
  date_partition_enabled           = local.target.DatePartitionEnabled
  date_partition_sequence          = local.target.DatePartitionSequence
  date_partition_delimiter         = local.target.DatePartitionDelimiter
  date_partition_timezone          = local.target.DatePartitionTimezone
  cdc_max_batch_interval           = local.target.CdcMaxBatchInterval
  cdc_min_file_size                = local.target.CdcMinFileSize
  max_file_size                    = local.target.MaxFileSize
  enable_statistics                = local.target.EnableStatistics
  # The file says sse-s3, for buckets without a key. This one has a key.
  encryption_mode                   = "SSE_KMS"
  server_side_encryption_kms_key_id = var.data_key_arn
}

resource "aws_dms_replication_task" "this" {
  replication_task_id       = var.name
  migration_type            = "full-load-and-cdc"
  replication_instance_arn  = aws_dms_replication_instance.this.replication_instance_arn
  source_endpoint_arn       = aws_dms_endpoint.source.endpoint_arn
  target_endpoint_arn       = aws_dms_s3_endpoint.target.endpoint_arn
  table_mappings            = local.mappings
  replication_task_settings = local.task
  # Started by hand, once the database has its role and its tables.
  start_replication_task = false
}
