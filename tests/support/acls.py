"""The ACLs that docs/security.md names, as a broker takes them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parents[2] / "docs/security.md"

TOPIC, GROUP, TRANSACTIONAL_ID = 2, 3, 5
LITERAL, PREFIXED = 3, 4
READ, WRITE = 3, 4
ALLOW = 3


@dataclass(frozen=True)
class Acl:
    """Numbers of Kafka's protocol."""

    user: str
    resource: int
    name: str
    operation: int
    pattern: int = LITERAL
    permission: int = ALLOW


@dataclass(frozen=True)
class Rights:
    """One row of the table."""

    reads: frozenset[str]
    writes: frozenset[str]
    groups: frozenset[str]
    transactional_ids: frozenset[str]

    def acls(self, user: str) -> Iterator[Acl]:
        yield from (Acl(user, TOPIC, name, READ) for name in self.reads)
        yield from (Acl(user, TOPIC, name, WRITE) for name in self.writes)
        yield from (Acl(user, GROUP, name, READ) for name in self.groups)
        yield from (Acl(user, TRANSACTIONAL_ID, name, WRITE, PREFIXED) for name in self.transactional_ids)


def documented() -> dict[str, Rights]:
    """The rights by user."""
    found = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if re.match(r"\| `[a-z0-9]+` \|", line):
            user, *cells = (frozenset(re.findall(r"`([^`]+)`", cell)) for cell in line.strip("|").split("|"))
            found[next(iter(user))] = Rights(*cells)
    return found
