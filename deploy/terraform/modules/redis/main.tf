# The broker of Airflow's Celery workers. It holds no data that Airflow could not queue again.

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-redis"
  description = "Redis ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-redis" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  security_group_id            = aws_security_group.this.id
  description                  = "Redis from the cluster"
  referenced_security_group_id = var.client_security_group_id
  from_port                    = 6379
  to_port                      = 6379
  ip_protocol                  = "tcp"
}

resource "aws_elasticache_replication_group" "this" {
  # checkov:skip=CKV2_AWS_50:copies is a variable, 2 in prod: with a copy it fails over by itself
  # checkov:skip=CKV_AWS_31:The provider writes auth_token into the state; docs/deploy/aws.md sets it by one command
  replication_group_id = var.name
  description          = "Celery's broker of ${var.name}"
  engine               = "redis"
  engine_version       = "7.1"
  parameter_group_name = "default.redis7"
  node_type            = var.node_type
  port                 = 6379

  num_cache_clusters         = var.copies
  automatic_failover_enabled = var.copies > 1
  multi_az_enabled           = var.copies > 1

  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = var.data_key_arn

  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  maintenance_window         = "sun:05:00-sun:06:00"
  auto_minor_version_upgrade = true
  snapshot_retention_limit   = 0

  lifecycle {
    ignore_changes = [auth_token, auth_token_update_strategy]
  }
}
