"""Where Prometheus comes from: the machine's own programs, else Debian's packages."""

from pathlib import Path

import pytest

from deploy.local import debian
from deploy.local.errors import FetchError, ToolMissingError
from tests.unit.deploy.test_tools import program

APT = """
echo "$@" >> {log}
for word in "$@"; do last=$word; done
case "$*" in
  *Dir::State*update*) touch {lists} ;;
  *download*) test -e {lists} || {{ echo "E: Unable to locate package prometheus"; exit 100; }}
    touch prometheus_1.deb prometheus-alertmanager_1.deb ;;
esac
"""
DPKG = "mkdir -p usr/bin; touch usr/bin/prometheus usr/bin/promtool usr/bin/prometheus-alertmanager usr/bin/amtool"


def report(line: str) -> None:
    """Discards the line."""


def environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": f"{tmp_path}:/usr/bin:/bin", "ONPOINT_COMPONENTS_DIR": str(tmp_path / "components")}


def test_programs_on_the_path_are_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("prometheus", "promtool", "prometheus-alertmanager", "amtool"):
        program(tmp_path, name, "true")
    found = debian.fetch_observers({"PATH": str(tmp_path)}, report)
    assert found.alertmanager == tmp_path / "prometheus-alertmanager"
    assert found.prometheus == tmp_path / "prometheus"


def test_packages_are_unpacked_once(tmp_path: Path) -> None:
    log, lists = tmp_path / "log", tmp_path / "lists"
    lists.touch()
    program(tmp_path, "apt-get", APT.format(log=log, lists=lists))
    program(tmp_path, "dpkg-deb", DPKG)
    first = debian.fetch_observers(environ(tmp_path), report)
    assert debian.fetch_observers(environ(tmp_path), report) == first
    assert first.promtool.exists()
    assert len(log.read_text().splitlines()) == 1
    assert not list((tmp_path / "components" / debian.FOLDER).glob("*.deb"))


def test_without_lists_of_packages_it_fetches_its_own(tmp_path: Path) -> None:
    log, lists = tmp_path / "log", tmp_path / "lists"
    program(tmp_path, "apt-get", APT.format(log=log, lists=lists))
    program(tmp_path, "dpkg-deb", DPKG)
    assert debian.fetch_observers(environ(tmp_path), report).amtool.exists()
    calls = log.read_text().splitlines()
    assert ["update" in call for call in calls] == [False, True, False]
    assert "Dir::State::Lists=" in calls[2]


def test_a_download_that_fails_says_what_to_do_and_leaves_nothing(tmp_path: Path) -> None:
    program(tmp_path, "apt-get", "echo 'E: no network'; exit 100")
    program(tmp_path, "dpkg-deb", DPKG)
    with pytest.raises(FetchError, match=r"E: no network(.|\n)*put prometheus, promtool"):
        debian.fetch_observers(environ(tmp_path), report)
    assert [entry.name for entry in (tmp_path / "components").iterdir()] == ["fetch.lock"]


def test_a_machine_without_debians_packages_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="this machine has no Debian packages: put prometheus"):
        debian.fetch_observers(environ(tmp_path) | {"PATH": str(tmp_path)}, report)
