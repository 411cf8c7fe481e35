from pathlib import Path

import pytest

from shared.runtime.cpu import limit_cores


def test_without_a_quota_the_cores_of_the_machine_count(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert limit_cores(tmp_path) >= 1
    assert limit_cores(tmp_path) == limit_cores(tmp_path / "no such cgroup")


@pytest.mark.parametrize("version", [1, 2])
def test_a_quota_below_the_machine_counts(tmp_path: Path, version: int) -> None:
    if version == 2:
        (tmp_path / "cpu.max").write_text("50000 100000\n")
    else:
        (tmp_path / "cpu").mkdir()
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
        (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert limit_cores(tmp_path) == 0.5


def test_a_quota_above_the_machine_gives_no_cores_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("100000000 100000\n")
    assert limit_cores(tmp_path) == limit_cores(tmp_path / "none")
