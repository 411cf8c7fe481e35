"""What the bench reports about its runs, and how it measures a process."""

import os
import time

import psutil
import pytest
import typer

from deploy.bench.commands import _settings
from deploy.bench.e2e import Component, Measured, Service, document
from deploy.bench.usage import Meter


def a_run(seconds: float, bare_seconds: float) -> Measured:
    return Measured(
        rows=1_000_000,
        seconds=seconds,
        bare_seconds=bare_seconds,
        services={
            "loader": Service(busy_s=4.0, wait_s=seconds - 4.0, cpu_s=3.0, peak_rss_bytes=int(seconds))
        },
        components={"kafka": Component(cpu_s=1.0, peak_rss_bytes=7)},
        bare_cpu_s={"chain": 5.0},
    )


def test_the_median_run_counts_and_every_run_is_told() -> None:
    told = document([a_run(20.0, 10.0), a_run(10.0, 6.0), a_run(16.0, 8.0)])
    assert told["rows_per_s"] == 62_500
    assert told["bare_rows_per_s"] == 125_000
    assert told["ratio"] == 0.5
    assert told["services"]["loader"] == {"busy_s": 4.0, "wait_s": 12.0, "cpu_s": 3.0, "peak_rss_bytes": 16}
    assert told["cpu_s_per_million_rows"] == {"loader": 3.0, "kafka": 1.0}
    assert [run["rows_per_s"] for run in told["runs"]] == [50_000, 100_000, 62_500]


def test_a_meter_counts_the_cpu_and_the_peak_of_what_it_watches() -> None:
    with Meter({"me": psutil.Process(os.getpid())}) as meter:
        stop_s = time.process_time() + 0.3
        block = bytearray(50 * 2**20)
        while time.process_time() < stop_s:
            block[0] ^= 1
    assert meter.usage["me"].cpu_s >= 0.25
    assert meter.usage["me"].peak_rss_bytes > 50 * 2**20
    assert meter.elapsed_s >= 0.25


def test_a_process_that_is_gone_costs_nothing_more() -> None:
    gone = psutil.Popen(["true"])
    with Meter({"gone": gone}) as meter:
        gone.wait()
    assert meter.usage["gone"].peak_rss_bytes >= 0


def test_only_settings_of_onpoint_can_be_set() -> None:
    assert _settings(["ONPOINT_LOADER_WORKERS=1"]) == {"ONPOINT_LOADER_WORKERS": "1"}
    with pytest.raises(typer.BadParameter, match="'PATH' is no setting"):
        _settings(["PATH=x"])
