"""Health of the pipeline, measured: the database, freshness, latency, errors, the machines (docs/health.md)."""
