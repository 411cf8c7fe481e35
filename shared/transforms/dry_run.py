"""A transform on no rows: what can be told of it by running it, before a batch is there."""

import tempfile
from pathlib import Path

from shared.datasets.arrow import data_schema
from shared.datasets.model import Dataset
from shared.datasets.transform import POSITION
from shared.transforms.apply import Transformer
from shared.transforms.errors import ResultError, StepError
from shared.transforms.frames import position_field, write_pieces
from shared.transforms.result import finish


def dry_run(dataset: Dataset, transformer: Transformer) -> tuple[int, str] | None:
    """The step to blame, from 1 (0: all of them), and why; None: no fault is found.

    Functions are loaded and not called, so the steps behind the first are not run. Raises `SystemLackError`.
    """
    steps = dataset.transform
    first = next((place for place, step in enumerate(steps) if step.python is not None), len(steps))
    try:
        with tempfile.TemporaryDirectory(prefix="onpoint-") as name:
            folder = Path(name)
            given, schema = folder / "rows.arrow", data_schema(dataset).append(position_field())
            write_pieces(given, data_schema(dataset.as_read()).append(position_field()), ())
            last = transformer.run(steps[:first], given, folder, schema.names)
            if first == len(steps):
                finish(given, last, folder / f"{POSITION}.arrow", schema, dataset.key)
            for number, step in enumerate(steps, 1):
                if step.python is not None:
                    transformer.load(number, step)
    except StepError as error:
        return error.step, error.reason
    except ResultError as error:
        return 0, str(error)
    return None
