"""An installation of the wheel works in an empty folder."""

import asyncio
import json
from pathlib import Path

import pytest

from console.main import COMMANDS
from shared.version import CODE_VERSION
from tests.support.installation import Installation
from tests.support.source import SourceServer

pytestmark = [pytest.mark.install, pytest.mark.timeout(600)]

IMPORT_EVERY_COMMAND = "import sys; from console.main import load\nfor name in sys.argv[1:]: load(name)"
WHERE = "import console, deploy, services, shared; print(*(m.__path__[0] for m in (console, deploy, services, shared)))"


def test_the_command_tells_its_version(installation: Installation) -> None:
    assert installation.run("onpoint", "--version").stdout == f"onpoint {CODE_VERSION}\n"


def test_the_installed_code_is_what_runs(installation: Installation) -> None:
    found = installation.run("python", "-c", WHERE).stdout.split()
    site_packages = installation.programs.parent / "lib"
    assert len(found) == 4
    assert all(Path(place).is_relative_to(site_packages) for place in found)


def test_every_command_finds_what_it_imports(installation: Installation) -> None:
    done = installation.run("python", "-c", IMPORT_EVERY_COMMAND, *COMMANDS)
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_stack_starts_in_an_empty_folder_and_a_run_arrives(
    installation: Installation, source: SourceServer
) -> None:
    async def onpoint(*words: str) -> str:
        """What it prints. The source answers meanwhile."""
        done = await asyncio.to_thread(installation.run, "onpoint", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    await onpoint("up")
    posts = json.loads(await onpoint("run", "posts", "--wait", "--json"))["datasets"]["posts"]
    assert posts["rows_loaded"] == posts["rows_stored"] == len(source.collections["posts"])
    await onpoint("verify")

    home = Path(installation.environment["HOME"])
    assert (home / ".local/share/onpoint/credentials.json").exists()
    assert any((home / ".cache/onpoint/components").iterdir())
    assert list(installation.folder.iterdir()) == []
