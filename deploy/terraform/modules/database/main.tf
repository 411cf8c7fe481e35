# One PostgreSQL on RDS. The master's password is made and rotated by RDS, in Secrets Manager: Terraform never sees it.

locals {
  family = "postgres${split(".", var.engine_version)[0]}"

  parameters = merge(
    {
      "rds.force_ssl"                       = { value = "1", at_once = true }
      "log_min_duration_statement"          = { value = tostring(var.slow_statement_ms), at_once = true }
      "log_lock_waits"                      = { value = "1", at_once = true }
      "password_encryption"                 = { value = "scram-sha-256", at_once = true }
      "shared_preload_libraries"            = { value = "pg_stat_statements", at_once = false }
      "idle_in_transaction_session_timeout" = { value = "3600000", at_once = true }
    },
    var.logical_replication ? {
      "rds.logical_replication" = { value = "1", at_once = false }
      # In MB. Without a bound a reader that stopped fills the disk, and then nothing can be written.
      "max_slot_wal_keep_size" = { value = tostring(var.slot_keep_mb), at_once = true }
      "wal_sender_timeout"     = { value = "60000", at_once = true }
    } : {},
  )
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "PostgreSQL ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-database" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = var.clients

  security_group_id            = aws_security_group.this.id
  description                  = "PostgreSQL from ${each.key}"
  referenced_security_group_id = each.value
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-"
  family      = local.family

  dynamic "parameter" {
    for_each = local.parameters

    content {
      name         = parameter.key
      value        = parameter.value.value
      apply_method = parameter.value.at_once ? "immediate" : "pending-reboot"
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  # checkov:skip=CKV_AWS_161:The services log in by a role with a password of its own; a token of IAM lasts 15 minutes and a pool lives longer
  # checkov:skip=CKV2_AWS_30:Slow statements are logged; every statement, or all DDL, would have data and passwords in the logs
  # checkov:skip=CKV2_AWS_69:rds.force_ssl is in the parameter group, whose parameters are made by a loop
  # checkov:skip=CKV_AWS_133:backup_days is a variable, 7 by default, and a validation refuses 0
  # checkov:skip=CKV_AWS_157:multi_az is a variable, on in prod
  # checkov:skip=CKV_AWS_293:deletion_protection is a variable, on in prod
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class

  storage_type          = "gp3"
  allocated_storage     = var.storage_gb
  max_allocated_storage = var.storage_limit_gb
  storage_encrypted     = true
  kms_key_id            = var.data_key_arn

  db_name                       = var.database
  username                      = "postgres"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.secrets_key_arn

  multi_az               = var.multi_az
  publicly_accessible    = false
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  parameter_group_name   = aws_db_parameter_group.this.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  backup_retention_period   = var.backup_days
  backup_window             = "03:00-04:00"
  maintenance_window        = "sun:04:30-sun:05:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = var.skip_final_snapshot
  final_snapshot_identifier = var.skip_final_snapshot ? null : "${var.name}-final"

  auto_minor_version_upgrade  = true
  allow_major_version_upgrade = false
  # Restarts and resizes wait for the maintenance window.
  apply_immediately = false

  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.data_key_arn
  performance_insights_retention_period = 7
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]

  tags = { Name = var.name }

  lifecycle {
    # Its storage grows by itself.
    ignore_changes = [allocated_storage]
  }

  depends_on = [aws_cloudwatch_log_group.this]
}

# Made here, as RDS would make them without an end and without a key.
resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_338:log_days is a variable, a year in prod
  for_each = toset(["postgresql", "upgrade"])

  name              = "/aws/rds/instance/${var.name}/${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = var.logs_key_arn
}

data "aws_iam_policy_document" "monitoring_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["monitoring.rds.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

resource "aws_iam_role" "monitoring" {
  name               = "${var.name}-monitoring"
  assume_role_policy = data.aws_iam_policy_document.monitoring_trust.json
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}
