"""The versions of the lock, as pip takes them for constraints."""

from deploy.release.constraints import constraints
from tests.support.records import ROOT

LOCK = """\
aiohttp==3.14.0 \\
    --hash=sha256:00 \\
    --hash=sha256:01
    # via onpoint (pyproject.toml)
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:02
zstandard==0.25.0
"""


def test_pins_keep_their_conditions_and_lose_their_hashes() -> None:
    assert list(constraints(LOCK)) == [
        "aiohttp==3.14.0",
        "colorama==0.4.6 ; sys_platform == 'win32'",
        "zstandard==0.25.0",
    ]


def test_every_package_of_the_lock_has_one() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    packages = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(list(constraints(lock))) == len(packages)
