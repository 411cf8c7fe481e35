"""Memory is the cgroup's where it has a limit, else the machine's; batches take a quarter of what is left."""

from pathlib import Path

import pytest

from shared.runtime.memory import MAX_ROWS, MIN_ROWS, ROW_BYTES, Memory, measure

MIB = 2**20


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       8388608 kB\nMemFree:  1 kB\nMemAvailable:   6291456 kB\n")
    return file


def cgroup_2(folder: Path, limit: str) -> Path:
    (folder / "memory.max").write_text(limit)
    (folder / "memory.current").write_text(f"{300 * MIB}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {100 * MIB}\nactive_file 7\n")
    return folder


def test_a_limit_of_the_cgroup_counts_and_its_page_cache_is_free(tmp_path: Path, meminfo: Path) -> None:
    assert measure(cgroup_2(tmp_path, f"{512 * MIB}\n"), meminfo) == Memory(512 * MIB, 200 * MIB)


def test_the_older_cgroups_are_read_too(tmp_path: Path, meminfo: Path) -> None:
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(str(512 * MIB))
    (folder / "memory.usage_in_bytes").write_text(str(300 * MIB))
    (folder / "memory.stat").write_text(f"total_inactive_file {50 * MIB}\n")
    assert measure(tmp_path, meminfo) == Memory(512 * MIB, 250 * MIB)


@pytest.mark.parametrize("limit", ["max\n", f"{2**63 - 4096}\n", "nonsense"])
def test_without_a_limit_the_machine_counts(tmp_path: Path, meminfo: Path, limit: str) -> None:
    assert measure(cgroup_2(tmp_path, limit), meminfo) == Memory(8 * 1024 * MIB, 2 * 1024 * MIB)


def test_a_machine_that_tells_nothing_is_taken_for_a_small_one(tmp_path: Path) -> None:
    assert measure(tmp_path, tmp_path / "none") == Memory(2**30, 0)


@pytest.mark.parametrize(
    ("available", "rows"),
    [(0, MIN_ROWS), (4 * ROW_BYTES * 5000, 5000), (2**40, MAX_ROWS)],
)
def test_a_batch_takes_a_quarter_of_what_is_available_within_bounds(available: int, rows: int) -> None:
    assert Memory(available, 0).batch_rows() == rows


def test_memory_is_tight_above_four_fifths() -> None:
    assert not Memory(100, 80).is_tight
    assert Memory(100, 81).is_tight
