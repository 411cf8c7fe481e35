"""What becomes of fields that a dataset's file does not name, and of values that do not fit. Pure."""

from typing import Annotated, Literal

from pydantic import Field

from shared.datasets.fields import Model, Whole

MAX_ADDED = 1_000


class SchemaContract(Model):
    new_columns: Literal["ignore", "evolve", "reject"] = "ignore"
    """Of fields at the top of a record that no column is for: they are left out, become columns, or cost their row."""
    types: Literal["strict", "widen"] = "strict"
    """Whether a value that does not fit costs its row, or makes its column wider."""
    max_columns: Annotated[Whole, Field(ge=1, le=MAX_ADDED)] = 50
    """The most columns that may be added to those of the file."""

    @property
    def is_fixed(self) -> bool:
        """Whether the columns of every run are those of its file."""
        return self.new_columns != "evolve" and self.types == "strict"
