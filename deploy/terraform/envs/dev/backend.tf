# The state is in a bucket of its own: `terraform init -backend-config=backend.hcl`, as docs/deploy/aws.md tells.
terraform {
  backend "s3" {}
}
