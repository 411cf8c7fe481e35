"""A signed POST, as Standard Webhooks has it: headers `webhook-id`, `webhook-timestamp`, `webhook-signature`."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Sequence
from typing import Any

import orjson

from shared.errors import ConfigurationError
from shared.news.channels import http
from shared.news.config import Link, WebhookChannel
from shared.news.outbox import Delivery
from shared.news.text import links_of
from shared.version import CODE_VERSION

PREFIX = "whsec_"
LEAST_KEY_BYTES = 16


class Webhook:
    """The id is the same for every try, so a receiver that knows it has had the news already."""

    def __init__(self, config: WebhookChannel, links: Sequence[Link]) -> None:
        self._config = config
        self._links = links

    async def send(self, delivery: Delivery) -> None:
        url = self._config.url
        address = url if isinstance(url, str) else url.read()
        key = signing_key(self._config.secret.read())
        content = orjson.dumps(document(delivery, self._links))
        now_s = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"OnPoint/{CODE_VERSION}",
            "Idempotency-Key": delivery.id,
            "webhook-id": delivery.id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": signature(key, delivery.id, now_s, content),
        }
        await http.post(address, content, headers, allow_private=self._config.allow_private)


def signing_key(secret: str) -> bytes:
    """`whsec_` and base64, as the standard writes it, or a text as it is. Raises `ConfigurationError`."""
    try:
        key = (
            base64.b64decode(secret.removeprefix(PREFIX), validate=True)
            if secret.startswith(PREFIX)
            else secret.encode()
        )
    except binascii.Error as error:
        raise ConfigurationError(
            f"the secret begins with {PREFIX} and goes on with what is not base64"
        ) from error
    if len(key) < LEAST_KEY_BYTES:
        raise ConfigurationError(f"the secret has less than {LEAST_KEY_BYTES} bytes")
    return key


def signature(key: bytes, message_id: str, timestamp_s: int, content: bytes) -> str:
    """Of the header `webhook-signature`."""
    signed = b".".join((message_id.encode(), str(timestamp_s).encode(), content))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def document(delivery: Delivery, links: Sequence[Link]) -> dict[str, Any]:
    """The body: `type`, `timestamp` and `data`, as the standard names them."""
    item = delivery.item
    return {
        "type": item.kind,
        "timestamp": item.time_text,
        "data": {
            **item.model_dump(mode="json", exclude={"kind", "happened_at"}),
            "links": [{"label": label, "url": url} for label, url in links_of(item, links)],
        },
    }
