"""What a process logs: JSON on a pipe, lines for people on a terminal, and never a secret."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from shared.observability.secrets import known_secrets, masked
from tests.support.records import ROOT

PROGRAM = """
import logging
from shared.observability.logging import configure_logging, get_logger
configure_logging("loader", "info")
log = get_logger()
log.info("batch_loaded", rows=5, run_id="r-1", batch_id="b-1", trace_id="t-1")
try:
    raise ValueError("no connection to postgresql://me:pl%40nted-dsn@db/x with pl@nted-dsn")
except ValueError:
    log.exception("listing_failed", key="planted-key", text='planted "quoted" one')
    logging.getLogger("library").exception("planted-key went %s", "planted-token")
log.debug("not_shown")
"""
SECRETS = {
    "ONPOINT_POSTGRES_DSN": "postgresql://me:pl%40nted-dsn@db/x",
    "AWS_SECRET_ACCESS_KEY": "planted-key",
    "ONPOINT_KAFKA_SASL_PASSWORD": 'planted "quoted" one',
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=planted-token",
}


def environment() -> dict[str, str]:
    return {**os.environ, **SECRETS, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def piped() -> str:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment(), capture_output=True, text=True, check=True
    )
    assert found.stdout == ""
    return found.stderr


def on_a_terminal() -> str:
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment(), stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 65_536):
                shown += block
        except OSError:
            pass  # the terminal of a process that has ended
        os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_on_a_pipe_every_line_is_json_with_its_ids() -> None:
    lines = [json.loads(line) for line in piped().splitlines()]
    assert [line["event"] for line in lines] == ["batch_loaded", "listing_failed", "*** went ***"]
    first = lines[0]
    assert (first["service"], first["level"], first["run_id"], first["batch_id"], first["trace_id"]) == (
        "loader",
        "info",
        "r-1",
        "b-1",
        "t-1",
    )


def test_on_a_terminal_the_lines_are_for_people() -> None:
    shown = on_a_terminal()
    assert "batch_loaded" in shown
    assert "rows" in shown
    assert "ValueError" in shown
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(shown.splitlines()[0])


@pytest.mark.parametrize("read", [piped, on_a_terminal])
def test_a_planted_secret_is_in_no_line(read: object) -> None:
    assert callable(read)
    shown = read()
    for secret in (
        "pl%40nted-dsn",
        "pl@nted-dsn",
        "planted-key",
        "planted-token",
        'planted "quoted"',
        r"planted \"quoted",
    ):
        assert secret not in shown
    assert "***" in shown


def test_a_secret_in_a_file_is_known(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-a-file\n", encoding="utf-8")
    found = known_secrets({"ONPOINT_LINEAGE_API_KEY_FILE": str(file)})
    assert masked("it is from-a-file!", found) == "it is ***!"


def test_both_halves_of_credentials_are_known() -> None:
    found = known_secrets({"ONPOINT_S3_CREDENTIALS": "accesskey:secretkey"})
    assert masked("secretkey of accesskey", found) == "*** of ***"


def test_short_values_hide_nothing() -> None:
    assert known_secrets({"PGPASSWORD": "a"}) == ()


@pytest.mark.parametrize(
    "name",
    [
        "ONPOINT_KAFKA_BOOTSTRAP_SERVERS",
        "ONPOINT_KAFKA_OAUTH_TOKEN_URL",
        "ONPOINT_CDC_SECRETS_DIR",
        "AWS_ACCESS_KEY_ID",
        "ONPOINT_KAFKA_SSL_KEY_FILE",
        "HOME",
    ],
)
def test_where_things_are_is_no_secret(name: str) -> None:
    assert known_secrets({name: "https://example.org/place"}) == ()
