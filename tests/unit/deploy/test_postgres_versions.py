"""Which PostgreSQL the local stack runs."""

from pathlib import Path

import pytest

from deploy.local import fetch
from deploy.local.errors import StackError, ToolMissingError
from deploy.local.postgres_versions import DEFAULT, KNOWN, RELEASES, chosen_version, locale_options

SETTING = "ONPOINT_LOCAL_POSTGRES_VERSION"


def test_the_default_is_the_release_of_the_pom() -> None:
    assert chosen_version({}) == DEFAULT
    assert f"<postgres.version>{DEFAULT}." in fetch.POM.read_text()


def test_each_other_version_has_a_release_of_its_own() -> None:
    assert all(release.startswith(f"{version}.") for version, release in RELEASES.items())
    assert [chosen_version({SETTING: version}) for version in KNOWN] == list(KNOWN)


@pytest.mark.parametrize("version", ["14", "18.4", "newest"])
def test_a_version_that_is_not_known_is_refused(version: str) -> None:
    with pytest.raises(StackError, match=f"{SETTING} is '{version}': it must be one of 15, 16, 17, 18"):
        chosen_version({SETTING: version})


def test_only_newer_servers_are_asked_for_their_own_locale() -> None:
    assert locale_options("17")[0] == "--locale-provider=builtin"
    assert locale_options("16")[0] == "--locale-provider=icu"


def test_the_programs_of_another_version_are_beside_those_of_the_default(tmp_path: Path) -> None:
    environ = {"ONPOINT_COMPONENTS_DIR": str(tmp_path), "PATH": ""}
    with pytest.raises(ToolMissingError, match="mvn was not found"):
        fetch.fetch_postgres("16", environ, print)
    assert [entry.name for entry in tmp_path.iterdir()] == ["fetch.lock"]
    default = tmp_path / fetch.version_key()
    default.mkdir()
    assert fetch.fetch_postgres(DEFAULT, environ, print) == default / "postgres"
