# Kafka on MSK, one broker in each zone at least. Clients come over TLS, by SCRAM (the services) or by a role of IAM
# (whoever makes the first ACLs).

locals {
  declared = yamldecode(file("${path.module}/../../../kafka/topics.yaml"))
  # The longest record of any topic, so that a follower and a consumer take each in one request.
  longest = max([
    for value in concat([local.declared.defaults, local.declared.services.retry, local.declared.services.dlq], values(local.declared.topics)) :
    try(value.max_message_bytes, 0)
  ]...)

  properties = {
    # Topics are declared in deploy/kafka/topics.yaml and made by `onpoint topics apply`, never by a first use.
    "auto.create.topics.enable" = "false"
    # Three copies, two of which have a record before it is acknowledged: one broker may be away.
    "default.replication.factor"     = "3"
    "min.insync.replicas"            = "2"
    "unclean.leader.election.enable" = "false"
    "num.partitions"                 = tostring(local.declared.defaults.partitions)
    "log.retention.hours"            = tostring(local.declared.defaults.retention_hours)
    "message.max.bytes"              = tostring(local.declared.defaults.max_message_bytes)
    "replica.fetch.max.bytes"        = tostring(local.longest)
    # A user without an ACL may do nothing. Roles of IAM have policies instead.
    "allow.everyone.if.no.acl.found" = "false"
  }
}

resource "aws_security_group" "this" {
  name        = "${var.name}-kafka"
  description = "Kafka ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-kafka" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = { scram = 9096, iam = 9098 }

  security_group_id            = aws_security_group.this.id
  description                  = "Clients by ${each.key}"
  referenced_security_group_id = var.client_security_group_id
  from_port                    = each.value
  to_port                      = each.value
  ip_protocol                  = "tcp"
}

# For Prometheus: JMX and node exporter of each broker.
resource "aws_vpc_security_group_ingress_rule" "monitoring" {
  security_group_id            = aws_security_group.this.id
  description                  = "Exporters of the brokers"
  referenced_security_group_id = var.client_security_group_id
  from_port                    = 11001
  to_port                      = 11002
  ip_protocol                  = "tcp"
}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_338:log_days is a variable, a year in prod
  name              = "/${var.name}/kafka"
  retention_in_days = var.log_days
  kms_key_id        = var.logs_key_arn
}

resource "aws_msk_configuration" "this" {
  name              = var.name
  kafka_versions    = [var.kafka_version]
  server_properties = join("\n", [for name, value in local.properties : "${name}=${value}"])
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = var.brokers
  enhanced_monitoring    = "PER_BROKER"

  broker_node_group_info {
    instance_type   = var.instance_type
    client_subnets  = var.subnet_ids
    security_groups = [aws_security_group.this.id]

    storage_info {
      ebs_storage_info {
        volume_size = var.storage_gb
      }
    }
  }

  client_authentication {
    unauthenticated = false

    sasl {
      iam   = true
      scram = true
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = var.data_key_arn

    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.this.name
      }
    }
  }

  open_monitoring {
    prometheus {
      jmx_exporter {
        enabled_in_broker = true
      }

      node_exporter {
        enabled_in_broker = true
      }
    }
  }

  lifecycle {
    # Its storage grows by itself.
    ignore_changes = [broker_node_group_info[0].storage_info[0].ebs_storage_info[0].volume_size]
  }
}

resource "aws_appautoscaling_target" "storage" {
  service_namespace  = "kafka"
  scalable_dimension = "kafka:broker-storage:VolumeSize"
  resource_id        = aws_msk_cluster.this.arn
  # It has to be 1: a disk only grows.
  min_capacity = 1
  max_capacity = var.storage_limit_gb
}

resource "aws_appautoscaling_policy" "storage" {
  name               = "${var.name}-kafka-storage"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.storage.service_namespace
  scalable_dimension = aws_appautoscaling_target.storage.scalable_dimension
  resource_id        = aws_appautoscaling_target.storage.resource_id

  target_tracking_scaling_policy_configuration {
    # A disk of a broker can only grow.
    disable_scale_in = true
    target_value     = 60

    predefined_metric_specification {
      predefined_metric_type = "KafkaBrokerStorageUtilization"
    }
  }
}
