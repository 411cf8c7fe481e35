"""The scratch folders of change capture: a killed process's are removed, a living one's stay."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from services.s3sink.cdc.scratch import PREFIX, UNLOCKED_S, clear, scratch_room

HOLD = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from services.s3sink.cdc.scratch import scratch_room
    with scratch_room(Path(sys.argv[1])) as folder:
        (folder / "half.parquet").write_bytes(b"x")
        print(folder, flush=True)
        time.sleep(60)
""")


def test_a_room_is_gone_afterwards(tmp_path: Path) -> None:
    with scratch_room(tmp_path) as folder:
        (folder / "half.parquet").write_bytes(b"x")
        assert clear(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    held = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert held.stdout is not None
    theirs = Path(held.stdout.readline().strip())
    try:
        with scratch_room(tmp_path):
            assert (theirs / "half.parquet").exists()
    finally:
        held.kill()
        held.wait()
        held.stdout.close()
    assert theirs.exists()
    with scratch_room(tmp_path) as ours:
        assert list(tmp_path.iterdir()) == [ours]


def test_a_folder_without_a_lock_is_removed_once_it_is_old(tmp_path: Path) -> None:
    folder = tmp_path / f"{PREFIX}old"
    folder.mkdir()
    assert clear(tmp_path) == []
    long_ago = folder.stat().st_mtime - 2 * UNLOCKED_S
    os.utime(folder, (long_ago, long_ago))
    assert clear(tmp_path) == [folder]


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "other")
    assert clear(tmp_path) == []
    assert (tmp_path / "other").is_dir()
