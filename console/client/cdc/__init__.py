"""Change capture: its connector, what it needs of PostgreSQL, and how it stands."""
