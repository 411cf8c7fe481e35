"""Whatever the library Apprise can reach: some hundred services. The extra `news` installs it."""

import asyncio
from collections.abc import Sequence

from shared.errors import ConfigurationError
from shared.news.channels.base import SEND_TIMEOUT_S
from shared.news.config import AppriseChannel, Link
from shared.news.errors import ChannelUnavailableError
from shared.news.item import Severity
from shared.news.outbox import Delivery
from shared.news.text import body, subject

TYPES: dict[Severity, str] = {"info": "info", "warning": "warning", "error": "failure"}


class Apprise:
    """Apprise tells no more than whether it was sent: each failure is tried again, and each is in doubt."""

    def __init__(self, config: AppriseChannel, links: Sequence[Link]) -> None:
        """Raises `ConfigurationError` where the library is not installed."""
        try:
            import apprise  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigurationError(
                "a channel of kind apprise needs the library: pip install 'onpoint[news]'"
            ) from error
        self._library = apprise
        self._config = config
        self._links = links

    async def send(self, delivery: Delivery) -> None:
        service = self._library.Apprise()
        if not service.add(self._config.url.read()):
            raise ConfigurationError("Apprise does not understand the channel's url")
        item = delivery.item
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                done = await service.async_notify(
                    title=subject(item),
                    body=body(item, self._links, in_doubt=delivery.in_doubt),
                    notify_type=self._library.NotifyType(TYPES[item.severity]),
                    body_format=self._library.NotifyFormat.TEXT,
                )
        except TimeoutError as error:
            raise ChannelUnavailableError("Apprise did not end in time", in_doubt=True) from error
        if not done:
            raise ChannelUnavailableError("Apprise could not send it", in_doubt=True)
