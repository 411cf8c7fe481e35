import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.events.names import SUPPORTED_FORMATS, Format
from tests.readers import office
from tests.readers.office import Cell
from tests.readers.source import NO_NUMBERS_COLUMNS, TYPES, export

ROOT = Path(__file__).parents[2]
SPARK = ROOT / ".venv-spark"
SPARK_WITHIN_S = 170
NO_SPARK = "Spark is not there: `make test-readers` fetches it into .venv-spark (needs Java 17 and Maven)"

PLAIN: dict[Format, dict[str, Any]] = {"csv": {"compression": "none"}, "json": {"compression": "none"}}

Open = Callable[..., list[list[list[Cell]]]]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[Format, Path]:
    """An export of every type in each format, text without compression."""
    folder = tmp_path_factory.mktemp("exports")
    return {name: export(name, folder, tuple(TYPES), PLAIN.get(name)) for name in SUPPORTED_FORMATS}


@pytest.fixture(scope="session")
def odd_files(tmp_path_factory: pytest.TempPathFactory) -> dict[Format, Path]:
    """The same of floats that are no numbers. JSON has none of them."""
    folder = tmp_path_factory.mktemp("odd")
    names = [name for name in SUPPORTED_FORMATS if name != "json"]
    return {name: export(name, folder, NO_NUMBERS_COLUMNS, PLAIN.get(name)) for name in names}


@pytest.fixture(scope="session")
def open_sheets(tmp_path_factory: pytest.TempPathFactory) -> Open:
    """LibreOffice, with a profile of its own for the session."""
    if office.program() is None:
        pytest.fail(office.MISSING, pytrace=False)
    folder = tmp_path_factory.mktemp("office")
    return lambda file, csv_options=None: office.open_sheets(file, folder, csv_options)


@pytest.fixture(scope="session")
def spark(
    files: dict[Format, Path], odd_files: dict[Format, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[Path, dict[str, Any]]:
    """What Spark reads of the Parquet and Avro files, by file: `types` and `rows`."""
    python = SPARK / "bin" / "python"
    jars = sorted((SPARK / "jars").glob("*.jar"))
    if not python.exists() or not jars:
        pytest.fail(NO_SPARK, pytrace=False)
    target = tmp_path_factory.mktemp("spark") / "found"
    wanted = [found[name] for found in (files, odd_files) for name in ("parquet", "avro")]
    script = Path(__file__).with_name("spark_rows.py")
    done = subprocess.run(
        (str(python), str(script), str(target), ",".join(map(str, jars)), *map(str, wanted)),
        env={**os.environ, "TZ": "UTC", "PYSPARK_PYTHON": str(python), "PYTHONPATH": ""},
        capture_output=True,
        timeout=SPARK_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    found: dict[str, dict[str, Any]] = pickle.loads(target.read_bytes())  # noqa: S301 - the script's own
    return {Path(name): one for name, one in found.items()}
