output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.this.id
}

output "public_subnets" {
  description = "Ids of the public subnets, in the order of the zones."
  value       = [for zone in var.zones : aws_subnet.public[zone].id]
}

output "private_subnets" {
  description = "Ids of the subnets of the nodes, in the order of the zones."
  value       = [for zone in var.zones : aws_subnet.private[zone].id]
}

output "data_subnets" {
  description = "Ids of the subnets of the servers, in the order of the zones."
  value       = [for zone in var.zones : aws_subnet.data[zone].id]
}

output "private_cidrs" {
  description = "Addresses of the nodes and pods."
  value       = [for zone in var.zones : aws_subnet.private[zone].cidr_block]
}
