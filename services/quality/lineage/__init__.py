"""OpenLineage events of what the bus tells: a process and a consumer group of its own (docs/lineage.md)."""
