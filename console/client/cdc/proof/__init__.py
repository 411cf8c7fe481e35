"""Proves that the lake has a table as PostgreSQL has it: rebuilds it from its changes, and compares every value."""
