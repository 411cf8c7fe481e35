"""The settings have the agreed names and defaults (`tests/support/golden.py`)."""

import re

from tests.support import golden
from tests.support.records import ROOT

FILE = ROOT / ".env.example"
LINE = re.compile(r"(?P<is_optional># )?(?P<name>[A-Z][A-Z0-9_]*)=(?P<default>.*)")


def settings() -> dict[str, str | None]:
    """The default of each setting as a shell would write it; None: it must be set."""
    found: dict[str, str | None] = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if setting := LINE.fullmatch(line):
            assert setting["name"] not in found, f"{setting['name']} is listed twice"
            found[setting["name"]] = setting["default"] if setting["is_optional"] else None
    return found


def test_every_setting_has_the_agreed_name_and_default() -> None:
    golden.compare("settings", settings())
