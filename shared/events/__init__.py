"""The contract between the services: events, identifiers, reasons. Imports pydantic and nothing of ours but errors."""
