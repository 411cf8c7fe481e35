"""The local stack: real Kafka, PostgreSQL and S3 with the six services, as plain processes of one machine."""
