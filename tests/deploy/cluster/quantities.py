"""Amounts as Kubernetes spells them."""

from typing import Final

SUFFIXES: Final = {
    "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


def quantity(text: str | float) -> float:
    """Cores of CPU, bytes of memory. Raises `ValueError` for what is no amount."""
    spelled = str(text)
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if spelled.endswith(suffix):
            return float(spelled.removesuffix(suffix)) * SUFFIXES[suffix]
    return float(spelled)
