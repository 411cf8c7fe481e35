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

output "data_cidrs" {
  description = "Addresses of the subnets of the servers, and of the endpoints of AWS services."
  value       = [for zone in var.zones : aws_subnet.data[zone].cidr_block]
}

output "s3_cidrs" {
  description = "Addresses of S3 in the region, as its prefix list has them."
  value       = sort(aws_vpc_endpoint.s3.cidr_blocks)
}
