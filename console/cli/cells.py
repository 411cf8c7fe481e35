"""Texts in columns of a terminal."""

from rich.cells import cell_len, set_cell_size


def cut(text: str, width: int) -> str:
    """Exactly `width` columns: padded, or cut with a mark at its end."""
    return set_cell_size(text, width) if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"
