"""A missing program is named, with what to do."""

from pathlib import Path

import pytest

from deploy.local import fetch, tools
from deploy.local.errors import FetchError, ToolMissingError


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_absent_java_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="java was not found: install Java 17"):
        tools.find_java({"PATH": str(tmp_path)})


@pytest.mark.parametrize(("version", "shown"), [("1.8.0_392", "8"), ("11.0.2", "11")])
def test_old_java_is_named(tmp_path: Path, version: str, shown: str) -> None:
    program(tmp_path, "java", f"echo 'openjdk version \"{version}\"' >&2")
    with pytest.raises(ToolMissingError, match=f"is Java {shown}, Kafka needs 17"):
        tools.find_java({"PATH": str(tmp_path)})


def test_java_that_does_not_run_is_named(tmp_path: Path) -> None:
    program(tmp_path, "java", "exit 1")
    with pytest.raises(ToolMissingError, match="of an unknown version"):
        tools.find_java({"PATH": str(tmp_path)})


@pytest.mark.parametrize("version", ["17", "17.0.15", "26-ea"])
def test_java_home_wins(tmp_path: Path, version: str) -> None:
    java = program(tmp_path / "jdk" / "bin", "java", f"echo 'openjdk version \"{version}\"' >&2")
    assert tools.find_java({"PATH": "", "JAVA_HOME": str(tmp_path / "jdk")}) == java


def test_absent_maven_is_named_only_when_it_is_needed(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path), "ONPOINT_COMPONENTS_DIR": str(tmp_path / "components")}
    with pytest.raises(ToolMissingError, match="mvn was not found"):
        fetch.fetch(environ, lambda _: None)
    (tmp_path / "components" / fetch.version_key()).mkdir()
    assert fetch.fetch(environ, lambda _: None).kafka.parent.name == fetch.version_key()


def test_failed_download_shows_mavens_last_lines_and_leaves_nothing(tmp_path: Path) -> None:
    program(tmp_path, "mvn", "echo early; for i in $(seq 20); do echo line $i; done; exit 1")
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "ONPOINT_COMPONENTS_DIR": str(tmp_path / "components")}
    with pytest.raises(FetchError) as raised:
        fetch.fetch(environ, lambda _: None)
    message = str(raised.value)
    assert "line 20" in message
    assert "early" not in message
    assert "check the connection" in message
    assert [entry.name for entry in (tmp_path / "components").iterdir()] == ["fetch.lock"]
