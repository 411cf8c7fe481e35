"""The pipeline in containers: what docker-compose.yml at the root needs beside images."""
