# Alarms of what AWS runs, the pipeline's own figures, and money. All go to one topic of SNS.

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.logs_key_arn
}

data "aws_iam_policy_document" "alarms" {
  statement {
    sid       = "AlarmsAndBudgets"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms.json
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

locals {
  of_databases = merge([
    for role, database in var.databases : {
      for key, alarm in {
        cpu = {
          metric = "CPUUtilization", above = true, threshold = 80, minutes = 15, statistic = "Average"
          text   = "its CPU is above 80 % for 15 minutes"
        }
        disk = {
          metric = "FreeStorageSpace", above = false, threshold = database.least_free_gb * 1073741824, minutes = 10, statistic = "Minimum"
          text   = "less than ${database.least_free_gb} GB of its disk are free"
        }
        memory = {
          metric = "FreeableMemory", above = false, threshold = 536870912, minutes = 15, statistic = "Minimum"
          text   = "less than 512 MB of its memory are free"
        }
        connections = {
          metric = "DatabaseConnections", above = true, threshold = database.most_connections, minutes = 10, statistic = "Maximum"
          text   = "it has more than ${database.most_connections} connections"
        }
      } : "${role}-${key}" => merge(alarm, { namespace = "AWS/RDS", dimensions = { DBInstanceIdentifier = database.identifier }, what = "PostgreSQL ${database.identifier}", missing = "notBreaching" })
    }
  ]...)

  of_capture = {
    for role, database in var.databases : "${role}-slot" => {
      namespace = "AWS/RDS", metric = "OldestReplicationSlotLag", dimensions = { DBInstanceIdentifier = database.identifier }, statistic = "Maximum"
      above     = true, threshold = database.most_slot_bytes, minutes = 10, missing = "notBreaching"
      what      = "PostgreSQL ${database.identifier}", text = "a reader of its changes is half the log behind that is kept for it"
    } if database.most_slot_bytes != null
  }

  of_brokers = var.kafka == null ? {} : merge([
    for broker in range(1, var.kafka.brokers + 1) : {
      for key, alarm in {
        disk = {
          metric = "KafkaDataLogsDiskUsed", threshold = 75, minutes = 15, statistic = "Maximum"
          text   = "more than 75 % of its disk are used"
        }
        replicas = {
          metric = "UnderReplicatedPartitions", threshold = 0, minutes = 15, statistic = "Maximum"
          text   = "partitions lack a copy for 15 minutes"
        }
        cpu = {
          metric = "CpuUser", threshold = 60, minutes = 15, statistic = "Average"
          text   = "its CPU is above 60 %, beyond which a lost broker overloads the others"
        }
        } : "kafka-${key}-${broker}" => merge(alarm, {
          namespace  = "AWS/Kafka", above = true, missing = "notBreaching", what = "Kafka broker ${broker} of ${var.kafka.name}"
          dimensions = { "Cluster Name" = var.kafka.name, "Broker ID" = tostring(broker) }
      })
    }
  ]...)

  of_kafka = var.kafka == null ? {} : {
    kafka-offline = {
      namespace = "AWS/Kafka", metric = "OfflinePartitionsCount", dimensions = { "Cluster Name" = var.kafka.name }, statistic = "Maximum"
      above     = true, threshold = 0, minutes = 5, missing = "notBreaching", what = "Kafka ${var.kafka.name}", text = "partitions have no leader"
    }
    kafka-controller = {
      namespace = "AWS/Kafka", metric = "ActiveControllerCount", dimensions = { "Cluster Name" = var.kafka.name }, statistic = "Maximum"
      # MSK may tell the average over the brokers: any of them will do.
      above = false, threshold = 0.1, minutes = 10, missing = "notBreaching", what = "Kafka ${var.kafka.name}", text = "no controller is active"
    }
  }

  of_redis = var.redis_id == null ? {} : {
    redis-memory = {
      namespace = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", dimensions = { ReplicationGroupId = var.redis_id }, statistic = "Maximum"
      above     = true, threshold = 80, minutes = 10, missing = "notBreaching", what = "Redis ${var.redis_id}", text = "more than 80 % of its memory are used"
    }
  }

  # Of quality, where ONPOINT_CLOUDWATCH_INTERVAL_S is set.
  of_runs = {
    runs-dead = {
      namespace = "OnPoint/DataPipeline", metric = "ErrorCount", dimensions = { Pipeline = "OnPointETL" }, statistic = "Sum"
      above     = true, threshold = 0, minutes = 5, missing = "notBreaching", what = "A run", text = "batches of it are dead letters"
    }
    runs-success = {
      namespace = "OnPoint/DataPipeline", metric = "SuccessRate", dimensions = { Pipeline = "OnPointETL" }, statistic = "Minimum"
      above     = false, threshold = 95, minutes = 5, missing = "notBreaching", what = "A run", text = "it failed, or more than 5 % of its rows were refused"
    }
  }

  alarms = merge(local.of_databases, local.of_capture, local.of_brokers, local.of_kafka, local.of_redis, local.of_runs)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.what}: ${each.value.text}."
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = ceil(each.value.minutes / 5)
  comparison_operator = each.value.above ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_budgets_budget" "month" {
  name         = "${var.name}-month"
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.budget_usd)
  limit_unit   = "USD"

  cost_filter {
    name   = "TagKeyValue"
    values = ["user:Project$${var.name}"]
  }

  dynamic "notification" {
    for_each = {
      spent    = { type = "ACTUAL", percent = 80 }
      over     = { type = "ACTUAL", percent = 100 }
      forecast = { type = "FORECASTED", percent = 100 }
    }

    content {
      comparison_operator       = "GREATER_THAN"
      notification_type         = notification.value.type
      threshold                 = notification.value.percent
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
    }
  }

  depends_on = [aws_sns_topic_policy.alarms]
}
