output "topic_arn" {
  description = "ARN of the topic of the alarms."
  value       = aws_sns_topic.alarms.arn
}
