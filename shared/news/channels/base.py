"""What every channel does."""

from typing import Protocol

from shared.news.outbox import Delivery

SEND_TIMEOUT_S = 20.0
"""Of one try, whole: a claim lasts three times as long."""


class Channel(Protocol):
    async def send(self, delivery: Delivery) -> None:
        """One try, of at most `SEND_TIMEOUT_S`.

        Raises `ChannelUnavailableError` where a later try may help, `ChannelRefusedError` where only a person can, and
        `ConfigurationError` where its secret cannot be read.
        """
