"""Manifests that are derived: of the workloads, the topics, the ACLs and the alert rules. Pure: nothing is asked of a cluster."""
