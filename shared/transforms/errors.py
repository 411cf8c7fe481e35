"""Why a transform could not do its work."""


class StepError(Exception):
    """A step is to blame: another try gives the same. `step` counts from 1."""

    def __init__(self, step: int, kind: str, reason: str) -> None:
        super().__init__(f"transform step {step} ({kind}): {reason}")
        self.step = step
        self.reason = reason


class ResultError(Exception):
    """What the last step left is not as the dataset's columns need it."""


class SystemLackError(Exception):
    """The machine is to blame: there is no room, no handle, no process."""
