"""What a reader is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shared.datasets.arrow import Array
from shared.reasons import Reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a value cannot be in its column."""

    reason: Reason
    detail: str

    def inside(self, place: str) -> "Refusal":
        """As the refusal of what holds the value there."""
        return Refusal(self.reason, f"{place}: {self.detail}")


Column = Callable[[Array], Array | None]
Value = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the values of one column, or of what is inside of them."""

    arrow: pa.DataType
    """Of what is read."""
    forms: tuple[pa.DataType, ...]
    """What the parser of JSON may read the values as. Numbers come first, texts last. None: the values are needed as
    they were written."""
    column: Column
    """From any of the forms. None if a single value must be looked at by itself. Of a reader without forms: from texts
    of JSON."""
    value: Value
    """From a value of the decoded line, not null: a Python value for `arrow`, None for null, or a `Refusal`."""
