"""The one place where a name becomes part of an SQL statement."""

MAX_BYTES = 63


def quote(name: str) -> str:
    """The identifier, quoted. Raises `ValueError` for a name that PostgreSQL would truncate or cannot store."""
    if not name or "\x00" in name or len(name.encode()) > MAX_BYTES:
        raise ValueError(f"{name!r} cannot be an identifier: 1 to {MAX_BYTES} bytes without NUL")
    return '"' + name.replace('"', '""') + '"'


def quote_all(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(quote(name) for name in names)
