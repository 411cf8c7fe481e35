"""A password that may change while a process runs."""

from pathlib import Path

import pytest

from shared.bus.kafka import KafkaClients
from shared.bus.password_file import PasswordFile
from shared.settings.kafka import KafkaSettings
from shared.settings.model import load_settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("first\n")
    return path


def test_each_login_takes_what_the_file_has_then(file: Path) -> None:
    password = PasswordFile(file)
    assert password.encode() == b"first"

    file.write_text("second\n")

    assert password.encode("utf-8") == b"second"


def test_a_file_that_is_gone_or_empty_leaves_the_password_as_it_was_last(file: Path) -> None:
    password = PasswordFile(file)
    file.write_text("second")
    password.encode()

    file.write_text("")
    assert password.encode() == b"second"
    file.unlink()
    assert password.encode() == b"second"


def test_the_password_is_in_no_representation(file: Path) -> None:
    assert "first" not in f"{PasswordFile(file)!r}"


@pytest.mark.parametrize("variable", [None, "first", "other"])
def test_a_variable_that_says_something_else_wins_over_the_file(file: Path, variable: str | None) -> None:
    environment = {
        "ONPOINT_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "ONPOINT_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "ONPOINT_KAFKA_SASL_USERNAME": "loader",
        "ONPOINT_KAFKA_SASL_PASSWORD_FILE": str(file),
        **({} if variable is None else {"ONPOINT_KAFKA_SASL_PASSWORD": variable}),
    }
    password = login_of(environment)
    assert password == (variable or "first")

    file.write_text("second")

    assert password.encode() == (b"other" if variable == "other" else b"second")


def login_of(environment: dict[str, str]) -> str:
    clients = KafkaClients(load_settings(KafkaSettings, environment), "onpoint-test")
    password = clients._options["sasl_plain_password"]  # noqa: SLF001 - what the driver gets
    assert isinstance(password, str)
    return password
