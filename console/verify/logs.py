"""I11: the logs of the stack: no secret in any, and every error names what failed."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from console.client.errors import InvalidRequestError
from console.verify.findings import Findings
from shared.events.topology import SERVICES

LEAST_CHARS = 6
"""Shorter words would be found by chance."""

PIECE = 2**20
ERRORS = frozenset({"error", "critical"})


def read_secrets(path: Path) -> list[bytes]:
    """One a line. Raises `InvalidRequestError`."""
    try:
        found = [line for line in path.read_bytes().splitlines() if line]
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror}") from error
    if any(len(secret) < LEAST_CHARS for secret in found):
        raise InvalidRequestError(
            f"{path}: a secret of less than {LEAST_CHARS} characters would be found by chance"
        )
    return found


def check_logs(folder: Path, secrets: Sequence[bytes], findings: Findings) -> None:
    """Memory is a line. A finding names a secret by its number in the list.

    Raises `InvalidRequestError` where the folder does not exist.
    """
    if not folder.is_dir():
        raise InvalidRequestError(f"{folder} is not a folder")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(file.relative_to(folder))
        is_service = file.name.partition(".")[0] in SERVICES
        for number, line in enumerate(_lines(file), 1):
            for place, secret in enumerate(secrets, 1):
                if secret in line:
                    findings.add("I11", f"{name}, line {number}", f"it contains secret {place} of the list")
            if is_service:
                _check_error(name, number, line, findings)
        findings.count("I11")


def _check_error(name: str, number: int, line: bytes, findings: Findings) -> None:
    if not line.startswith(b"{"):
        return
    try:
        entry = json.loads(line)
    except ValueError:
        return
    if entry.get("level") not in ERRORS:
        return
    has_ids = any(entry.get(key) for key in ("run_id", "batch_id")) or all(
        key in entry for key in ("topic", "partition", "offset")
    )
    findings.require(
        "I11",
        has_ids,
        f"{name}, line {number}",
        f"error {entry.get('event')!r} names no run, batch or record",
    )


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as lines:
        while line := lines.readline(PIECE):
            yield line
