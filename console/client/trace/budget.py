"""How much a search reads at most."""

from dataclasses import dataclass

LAKE_OBJECTS = 2_000
LAKE_BYTES = 256 * 2**20
"""Of columns with the key. What statistics and Bloom filters rule out costs nothing of it."""

QUARANTINE_FILES = 200
QUARANTINE_BYTES = 16 * 2**20
"""Compressed: some ten times as much is looked through."""

UNLIMITED = 2**62


@dataclass
class Budget:
    """Spent by several readers at once: what is on its way when it is empty is still read."""

    pieces: int
    bytes: int

    def take(self, size: int) -> bool:
        """False: there is no room left."""
        if self.pieces <= 0 or self.bytes <= 0:
            return False
        self.pieces -= 1
        self.bytes -= size
        return True

    def spend(self, size: int) -> None:
        self.bytes -= size


def lake_budget(*, all_of_it: bool) -> Budget:
    return Budget(UNLIMITED, UNLIMITED) if all_of_it else Budget(LAKE_OBJECTS, LAKE_BYTES)


def quarantine_budget(*, all_of_it: bool) -> Budget:
    return Budget(UNLIMITED, UNLIMITED) if all_of_it else Budget(QUARANTINE_FILES, QUARANTINE_BYTES)
