"""What is wrong with a dataset file, and where in it."""


class FaultError(ValueError):
    """One reason why a file cannot be used, for the author of the file.

    `at` leads from where it was found to the field that is to be changed.
    """

    def __init__(self, reason: str, *at: str | int, other: tuple[str | int, ...] = ()) -> None:
        super().__init__(reason)
        self.at = at
        self.other = other
        """Leads to the field that this one collides with."""
