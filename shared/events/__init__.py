"""The contract between the services: events, identifiers, reasons. Imports pydantic, errors and reasons."""
