"""Named for what the sender must do next."""

from shared.errors import OnPointError

MAX_DETAIL_CHARS = 300


class NotSentError(OnPointError):
    """The channel did not take it. The message is for people, and contains no secret."""


class ChannelUnavailableError(NotSentError):
    """Trying again later may help."""

    def __init__(self, message: str, *, in_doubt: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message[:MAX_DETAIL_CHARS])
        self.in_doubt = in_doubt
        """Whether the channel may have taken it all the same."""
        self.retry_after_s = retry_after_s
        """The pause that the channel asked for."""


class ChannelRefusedError(NotSentError):
    """Trying again cannot help before a person has changed something."""

    def __init__(self, message: str) -> None:
        super().__init__(message[:MAX_DETAIL_CHARS])
