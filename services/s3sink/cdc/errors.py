from shared.errors import TransientError


class ClaimTakenError(TransientError):
    """Another process has taken the table further: this one begins where that one ended."""


class SchemaGrewError(TransientError):
    """A claimed object needs columns that it was not begun with: it is begun anew with them."""
