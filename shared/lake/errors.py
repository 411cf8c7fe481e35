from shared.errors import OnPointError, PermanentError
from shared.reasons import Reason


class SourceUnusableError(PermanentError):
    """A source is gone, is not what the database has of it, or cannot be read."""


class DifferentColumnsError(OnPointError):
    """Files that have a column with two types cannot be one file. `groups`: places of those that can."""

    def __init__(self, column: str, groups: list[list[int]]) -> None:
        super().__init__(f"column {column} has different types in the files of one folder")
        self.groups = groups


def unusable(uri: str, error: BaseException) -> SourceUnusableError:
    reason = error.reason if isinstance(error, PermanentError) else Reason.SCHEMA
    return SourceUnusableError(reason, f"{uri}: {error}"[:500])
