"""Manifests that are derived: of workloads, topics, ACLs and alert rules. Pure: nothing is asked of a cluster."""
