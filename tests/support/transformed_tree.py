"""The fault suite with a transform in every dataset: `python -m tests.support.transformed_tree [pytest's arguments]`.

The tests name the datasets that come with OnPoint, and these cannot be replaced by a folder. So they run in a copy of the
tree whose dataset files have steps of each kind that only together leave every row as it was.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local.fetch import components_folder

ROOT = Path(__file__).parents[2]
COPIED = ("console", "deploy", "services", "shared", "tests")

STEPS = """
transform:
  - sql: SELECT * REPLACE (id + 1 AS id) FROM batch
  - {{python: "one_less:one_less", frame: polars}}
  - mask: {{{text}: truncate(9999)}}
"""

CODE = """\
import polars as pl


def one_less(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("id") - 1)
"""


def copy_tree(target: Path) -> None:
    """All that the tests and the services run, with the steps in each dataset file."""
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)
    datasets = target / "shared" / "datasets"
    (datasets / "one_less.py").write_text(CODE, encoding="utf-8")
    for file in datasets.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        column = "title" if "name: title" in text else "name"
        file.write_text(text + STEPS.format(text=column), encoding="utf-8")


def main() -> int:
    components = {"ONPOINT_COMPONENTS_DIR": str(components_folder(os.environ))}
    with tempfile.TemporaryDirectory(prefix="onpoint-transformed-") as name:
        copy_tree(Path(name))
        command = (sys.executable, "-m", "pytest", "-m", "faults", *sys.argv[1:])
        environment = {**os.environ, **components, "PYTHONPATH": name}
        with subprocess.Popen(command, cwd=name, env=environment) as tests:
            while True:
                try:
                    return tests.wait()
                except KeyboardInterrupt:
                    continue  # the tests got it too, and stop what they started


if __name__ == "__main__":
    sys.exit(main())
