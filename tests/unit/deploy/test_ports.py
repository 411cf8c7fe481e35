"""Which ports a stack gets, and the error when one is not free."""

import socket
from pathlib import Path

import pytest

from deploy.local.errors import PortTakenError, StackError
from deploy.local.home import Home
from deploy.local.names import COMPONENTS
from deploy.local.ports import HOST, Ports, choose, is_free, require_free, setting_of
from shared.events.topology import SERVICES


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def test_defaults_are_the_documented_ones(home: Home) -> None:
    ports = choose(home, {})
    assert (ports.kafka, ports.postgres, ports.s3) == (29092, 25432, 28333)
    assert [ports.of(name) for name in SERVICES] == [28001, 28002, 28003, 28004, 28005, 28006]
    assert ports.of("seaweedfs") == ports.s3


def test_every_port_has_a_setting(home: Home) -> None:
    environ = {setting_of(name): str(20_000 + index) for index, name in enumerate(Ports.model_fields)}
    assert list(choose(home, environ).model_dump().values()) == [
        20_000 + index for index in range(len(Ports.model_fields))
    ]


def test_free_ports_differ_and_stay(home: Home) -> None:
    first = choose(home, {"ONPOINT_PORTS": "free"})
    assert len(set(first.model_dump().values())) == len(Ports.model_fields)
    assert all(is_free(port) for port in first.model_dump().values())
    # The home remembers that its ports were free ones, also for a caller who does not ask for free ones.
    assert choose(home, {"ONPOINT_PORTS": "free"}) == first
    assert choose(home, {}) == first
    assert choose(home, {"ONPOINT_PORTS": "default"}) == Ports()


def test_only_a_taken_free_port_is_picked_anew(home: Home) -> None:
    first = choose(home, {"ONPOINT_PORTS": "free"})
    with socket.create_server((HOST, first.kafka)):
        second = choose(home, {"ONPOINT_PORTS": "free"})
    assert second.kafka != first.kafka
    assert second.model_copy(update={"kafka": first.kafka}) == first


def test_named_port_wins_over_a_free_one(home: Home) -> None:
    first = choose(home, {"ONPOINT_PORTS": "free"})
    assert choose(home, {"ONPOINT_PORTS": "free", "ONPOINT_PORT_S3": "23456"}).s3 == 23456
    assert choose(home, {"ONPOINT_PORTS": "free"}) == first


@pytest.mark.parametrize("text", ["0", "80", "65536", "-1", "http", "1e4", "٣٣٣٣"])
def test_what_is_not_a_port_is_refused_by_its_setting(home: Home, text: str) -> None:
    with pytest.raises(StackError, match="ONPOINT_PORT_KAFKA is"):
        choose(home, {"ONPOINT_PORT_KAFKA": text})


def test_one_port_for_two_is_refused_by_both_settings(home: Home) -> None:
    with pytest.raises(StackError, match=r"ONPOINT_PORT_KAFKA and ONPOINT_PORT_S3 are both 23456"):
        choose(home, {"ONPOINT_PORT_KAFKA": "23456", "ONPOINT_PORT_S3": "23456"})


def test_unknown_mode_is_refused(home: Home) -> None:
    with pytest.raises(StackError, match="ONPOINT_PORTS is 'fre'"):
        choose(home, {"ONPOINT_PORTS": "fre"})


def test_a_taken_port_is_named_with_its_holder_and_its_setting(home: Home) -> None:
    ports = choose(home, {"ONPOINT_PORTS": "free"})
    with socket.create_server((HOST, ports.postgres)), pytest.raises(PortTakenError) as raised:
        require_free(ports, services=())
    message = str(raised.value)
    assert f"port {ports.postgres} (postgres) is taken by " in message
    assert "set ONPOINT_PORT_POSTGRES" in message
    assert not any(f"({name})" in message for name in COMPONENTS if name != "postgres")


def test_a_server_on_every_interface_takes_the_port_too(home: Home) -> None:
    ports = choose(home, {"ONPOINT_PORTS": "free"})
    with socket.socket() as server:
        server.bind(("0.0.0.0", ports.s3))  # noqa: S104
        server.listen()
        assert not is_free(ports.s3)


def test_ports_of_services_that_do_not_start_may_be_taken(home: Home) -> None:
    ports = choose(home, {"ONPOINT_PORTS": "free"})
    with socket.create_server((HOST, ports.loader)):
        require_free(ports, services=("crawler",))
        with pytest.raises(PortTakenError, match="ONPOINT_PORT_LOADER"):
            require_free(ports, services=SERVICES)
