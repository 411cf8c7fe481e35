"""Ports on which no process listens."""

import random

from deploy.local.ports import FREE_RANGE, is_free


def free_ports(count: int) -> list[int]:
    """Below the range that clients' own ports are taken from."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(FREE_RANGE)  # noqa: S311 - no secret
        if port not in found and is_free(port):
            found.append(port)
    return found
