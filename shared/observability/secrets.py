"""Secrets of this process's settings, so that no log line shows one, whatever a driver puts into its errors."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

LEAST_CHARS = 6
"""Shorter texts are part of ordinary words: they are no secrets, and blanking them out would hide the log."""

MASK = "***"

_SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIALS|(API|ACCESS|MASK)_KEY|_HEADERS|DSN")
_FILE = "_FILE"
_PLACES = ("_DIR", "_URL", "_SECRETS", "_ID")
"""Ends of names that tell where a secret is, or whose: an operator needs them in the log."""

_PARTS = re.compile(r"[\s,;=:]+")


def known_secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of secret variables and of the files that they name, each as logs may spell it; the longest first."""
    found: set[str] = set()
    for name, value in environment.items():
        if value and _SECRET.search(name) and not name.endswith(_PLACES):
            found.update(_values(name, _content(value) if name.endswith(_FILE) else value))
    spelt = {form for secret in found for form in _spellings(secret) if len(form) >= LEAST_CHARS}
    return tuple(sorted(spelt, key=lambda form: (-len(form), form)))


def masked(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    return text


def _values(name: str, value: str) -> set[str]:
    if "DSN" in name:
        return {part for part in (_password(value),) if part}
    if "CREDENTIALS" in name or "_HEADERS" in name:
        return {value, *_PARTS.split(value)}
    return {value}


def _password(dsn: str) -> str | None:
    try:
        return urlsplit(dsn).password
    except ValueError:
        return None


def _content(file: str) -> str:
    """Empty where the file cannot be read: what reads the setting says so."""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _spellings(secret: str) -> set[str]:
    plain = unquote(secret)
    return {form for one in (secret, plain) for form in (one, json.dumps(one)[1:-1], quote(one, safe=""))}
