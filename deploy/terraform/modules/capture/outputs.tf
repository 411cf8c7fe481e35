output "task_arn" {
  description = "ARN of the task, to start it."
  value       = aws_dms_replication_task.this.replication_task_arn
}
