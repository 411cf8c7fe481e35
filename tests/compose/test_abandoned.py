"""A test that is killed leaves no engine behind: who interrupts it need not clean up."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.compose.commands import install
from tests.compose.engine import ROOT, Engine
from tests.compose.network import Network

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]

GONE_S = 90
PROGRAM = """
import time
from tests.compose.engine import Engine
engine = Engine()
engine.start()
engine.docker("network", "create", "abandoned")
print(engine.folder, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_engine_of_a_killed_test_goes_away_and_the_network_is_as_before(number: signal.Signals) -> None:
    install()
    before = Network.now()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as test:
        assert test.stdout is not None
        engine = Engine(Path(test.stdout.readline().strip()))
        assert Network.now() != before
        test.send_signal(number)
    until = time.monotonic() + GONE_S
    while engine.folder.exists():
        assert time.monotonic() < until
        time.sleep(0.1)
    assert engine.processes() == []
    assert engine.mounts() == []
    assert Network.now() == before
