"""Steps that misbehave end with a named reason, and harm neither their host nor the next step."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from shared.datasets.transform import Code, Step
from shared.transforms.apply import Transformer
from shared.transforms.errors import StepError, SystemLackError
from shared.transforms.frames import read_pieces, write_pieces
from shared.transforms.sandbox import Limits, Sandbox

ROWS = 2_000
NAMES = ["id", "_source_position"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    table = pa.table({"id": list(range(ROWS)), "_source_position": list(range(ROWS))})
    write_pieces(tmp_path / "rows.arrow", table.schema, table.to_batches(500))
    return tmp_path / "rows.arrow"


def python(code: str, frame: str = "arrow") -> Step:
    text = "import ctypes, mmap, os, socket, subprocess, sys, time\n" + code
    return Step.model_validate(
        {"python": "mine:step", "frame": frame, "code": Code(sha256="0" * 64, text=text)}
    )


def run(step: Step, rows: Path, sandbox: Sandbox, limits: Limits | None = None) -> pa.Table:
    transformer = Transformer(limits or Limits(256, 30), None, sandbox)
    last = transformer.run([step], rows, rows.parent, NAMES)
    return pa.Table.from_batches(read_pieces(last))


def reason(step: Step, rows: Path, sandbox: Sandbox, limits: Limits | None = None) -> str:
    with pytest.raises(StepError) as caught:
        run(step, rows, sandbox, limits)
    return caught.value.reason


RAISES = "def step(rows):\n    "


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ValueError('bad luck')", "it raised ValueError: bad luck (line 3 of mine)"),
        ("raise KeyboardInterrupt", "it raised KeyboardInterrupt"),
        ("sys.exit(0)", "it raised SystemExit: 0"),
        ("return step(rows)", "it raised RecursionError"),
        ("os._exit(0)", "its process ended itself with code 0"),
        ("os._exit(3)", "its process ended itself with code 3"),
        ("ctypes.string_at(0)", "its process was ended by SIGSEGV"),
        ("os.abort()", "its process was ended by SIGABRT (it may use 256 MiB)"),
        ("os.kill(os.getpid(), 9)", "its process was ended by SIGKILL (it may use 256 MiB)"),
        ("return None", "it returned None"),
        ("yield rows", "it returned generator, a frame of arrow is expected"),
        ("return rows.to_pylist()", "it returned list, a frame of arrow is expected"),
        ("return rows.drop_columns(['_source_position'])", "its rows have no _source_position"),
        ("return rows.append_column('id', rows['id'])", "two of its columns are named id"),
        ("return rows.set_column(1, '_source_position', rows['id'].cast('string'))", None),
        ("return rows.set_column(1, '_source_position', [['x'] * len(rows)])", "its _source_position is string"),
        ("return 'x' * (1 << 34)", "it needs more than the 256 MiB that it may use"),
        ("have = []\n    while True: have.append(bytearray(1 << 20))", "it needs more than the 256 MiB"),
        ("have = []\n    while True:\n        have.append(mmap.mmap(-1, 1 << 26))\n        have[-1].write(bytes(1 << 26))",
         "it needs more than the 256 MiB"),
        ("open('large', 'wb').truncate(1 << 30)", "its result is above 256 MiB"),
        ("socket.create_connection(('127.0.0.1', 22), 1)", "it raised "),
    ],
)  # fmt: skip
def test_a_function_that_misbehaves_ends_with_its_reason(
    code: str, said: str | None, rows: Path, sandbox: Sandbox
) -> None:
    step = python(RAISES + code)
    if said is None:
        assert run(step, rows, sandbox).num_rows == ROWS
    else:
        assert reason(step, rows, sandbox).startswith(said)
    after = run(python(RAISES + "return rows.slice(1)"), rows, sandbox)
    assert after.num_rows == ROWS - 1, "the host goes on"


def test_a_step_that_does_not_end_is_ended_in_time_and_all_steps_share_the_time(
    rows: Path, sandbox: Sandbox
) -> None:
    limits, began = Limits(256, 1.5), time.monotonic()
    assert reason(python(RAISES + "while True: pass"), rows, sandbox, limits) == "it took longer than 1.5 s"
    assert time.monotonic() - began < 10
    endless = Step(
        sql="SELECT count(*) AS id, 0 AS _source_position FROM batch a, batch b, batch c, batch d, batch e"
    )
    assert reason(endless, rows, sandbox, limits) == "it took longer than 1.5 s"
    sleeps = python(RAISES + "time.sleep(1)\n    return rows")
    with pytest.raises(StepError, match=r"step 2 \(python\): it took longer than 1.5 s"):
        Transformer(limits, None, sandbox).run([sleeps, sleeps], rows, rows.parent, NAMES)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT *, repeat('x', 2000000000) AS x FROM batch", "it needs more than the 256 MiB"),
        ("SELECT repeat('x', 500) AS id, 0 AS _source_position FROM batch a, batch b", "its result is above 256 MiB"),
        ("SELECT list(a.id) AS id, 0 AS _source_position FROM batch a, batch b, range(100)", "it needs more than the"),
        ("SELECT * FROM read_csv('/etc/passwd')", 'Permission Error: Cannot access file "/etc/passwd"'),
        ("SELECT * FROM '/etc/passwd'", "Catalog Error: Table with name /etc/passwd does not exist!"),
        ("COPY batch TO '/tmp/x.csv'", "Permission Error"),
        ("ATTACH '/tmp/x.db'", "Permission Error"),
        ("INSTALL httpfs", "Permission Error"),
        ("SELECT * FROM read_parquet('https://x.example/a.parquet')", "Permission Error"),
        ("SET enable_external_access = true", "Invalid Input Error: Cannot change"),
        ("SET memory_limit = '1TB'", "Invalid Input Error: Cannot change"),
        ("RESET lock_configuration", "Invalid Input Error: Cannot change"),
        ("PRAGMA threads = 8", "Invalid Input Error: Cannot change"),
    ],
)  # fmt: skip
def test_a_statement_reaches_nothing_even_where_no_one_has_looked_at_it(
    sql: str, said: str, rows: Path, sandbox: Sandbox
) -> None:
    assert reason(Step(sql=sql), rows, sandbox).startswith(said)
    assert run(Step(sql="SELECT * FROM batch"), rows, sandbox).num_rows == ROWS


def test_a_step_has_no_secret_and_no_file_of_the_process_that_began_it(
    rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONPOINT_POSTGRES_DSN", "postgresql://somebody:secret@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with Sandbox() as fresh, (rows.parent / "open").open("wb") as held:
        os.set_inheritable(held.fileno(), True)
        told = reason(python(RAISES + "raise ValueError(sorted(os.environ))"), rows, fresh)
        files = reason(
            python(
                RAISES + "raise ValueError([os.readlink(f'/proc/self/fd/{n}') for n in "
                "os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')])"
            ),
            rows,
            fresh,
        )
    assert "ONPOINT" not in told
    assert "AWS" not in told
    assert str(rows.parent) not in files


def test_what_a_step_started_ends_with_it(rows: Path, sandbox: Sandbox) -> None:
    mark = f"{3000 + os.getpid() % 1000}.25"
    started = python(
        RAISES + f"subprocess.Popen(['sleep', '{mark}'])\n    "
        f"subprocess.Popen(['setsid', 'sleep', '{mark}'])\n    time.sleep(0.3)\n    return rows"
    )
    assert run(started, rows, sandbox).num_rows == ROWS
    left = [
        process for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or ())
    ]
    assert not left


def test_a_host_that_is_killed_is_replaced(rows: Path) -> None:
    with Sandbox() as sandbox:
        step = Step(sql="SELECT * FROM batch WHERE id < 10")
        assert run(step, rows, sandbox).num_rows == 10
        for child in psutil.Process().children():
            child.kill()
        assert run(step, rows, sandbox).num_rows == 10


def test_a_host_that_always_ends_is_no_fault_of_the_batch(
    rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with Sandbox() as sandbox, pytest.raises(SystemLackError):
        run(Step(sql="SELECT * FROM batch"), rows, sandbox)


def test_a_host_ends_with_its_owner(rows: Path) -> None:
    before = set(psutil.Process().children())
    sandbox = Sandbox()
    run(Step(sql="SELECT * FROM batch"), rows, sandbox)
    [host] = set(psutil.Process().children()) - before
    sandbox.close()
    assert not host.is_running()


@pytest.mark.parametrize("frame", ["polars", "pandas", "arrow"])
def test_every_frame_gets_the_rows_and_gives_them_back(frame: str, rows: Path, sandbox: Sandbox) -> None:
    if frame == "pandas":
        pytest.importorskip("pandas")
    code = {
        "arrow": "return rows.filter(__import__('pyarrow.compute').compute.less(rows['id'], 5))",
        "polars": "return rows.lazy().filter(__import__('polars').col('id') < 5)",
        "pandas": "return rows[rows['id'] < 5]",
    }[frame]
    assert run(python(RAISES + code, frame), rows, sandbox)["id"].to_pylist() == [0, 1, 2, 3, 4]


def test_odd_names_of_columns_are_names_and_nothing_else(tmp_path: Path, sandbox: Sandbox) -> None:
    odd = 'a"; DROP TABLE batch; --'
    table = pa.table({odd: [1], "id": [2], "_source_position": [0]})
    write_pieces(tmp_path / "rows.arrow", table.schema, table.to_batches())
    found = run(Step(sql="SELECT * FROM batch"), tmp_path / "rows.arrow", sandbox)
    assert found.to_pylist() == [{"id": 2, "_source_position": 0}]
    quoted = odd.replace('"', '""')
    step = Step(sql=f'SELECT "{quoted}" AS id, _source_position FROM batch')
    assert run(step, tmp_path / "rows.arrow", sandbox)["id"].to_pylist() == [1]


def test_generators_of_random_numbers_give_the_same_twice(rows: Path, sandbox: Sandbox) -> None:
    code = "import random\ndef step(rows):\n    return rows.slice(random.randrange(1000)).slice(0, 1)"
    first, second = (run(python(code), rows, sandbox).to_pylist() for _ in range(2))
    assert first == second


EXPLODE = Step.model_validate({"explode": "tag"})
COPIED_BYTES = 2_000


def listed(folder: Path, lists: list[int], copied_bytes: int) -> Path:
    """Rows whose lists have these numbers of values, each beside a text that `explode` copies for every value."""
    table = pa.table(
        {
            "id": ["x" * copied_bytes] * len(lists),
            "tag": pa.array([list(range(length)) for length in lists], pa.list_(pa.int64())),
            "_source_position": list(range(len(lists))),
        }
    )
    write_pieces(folder / "rows.arrow", table.schema, table.to_batches())
    return folder / "rows.arrow"


@pytest.mark.parametrize(
    "lists",
    [[10, 0, 3] * 3_000, [60_000], [1] * 1_000 + [50_000]],
    ids=["all are short", "one is long", "one among short ones is long"],
)
def test_what_a_list_multiplies_needs_little_memory(
    tmp_path: Path, sandbox: Sandbox, lists: list[int]
) -> None:
    table = run(EXPLODE, listed(tmp_path, lists, COPIED_BYTES), sandbox, Limits(160, 60))
    assert table.num_rows == sum(max(1, length) for length in lists)
    assert table["id"].combine_chunks().unique().to_pylist() == ["x" * COPIED_BYTES]
    assert table["_source_position"].to_pylist() == [
        place for place, length in enumerate(lists) for _ in range(max(1, length))
    ]


def test_what_a_list_multiplies_beyond_its_bound_is_said(tmp_path: Path, sandbox: Sandbox) -> None:
    rows = listed(tmp_path, [100_000], 10_000)
    assert reason(EXPLODE, rows, sandbox, Limits(160, 60)) == "its result is above 160 MiB"
