"""A broker's word that it does not take a token, which comes as an answer to the login (RFC 7628, section 3.2.3).

aiokafka takes any answer for a welcome. Its client starts then without knowing a broker, and never finds one.
"""

from typing import Any

from aiokafka import conn
from aiokafka.conn import OAuthAuthenticator
from aiokafka.errors import SaslAuthenticationFailed


def heed_refusals() -> None:
    """From now on a connection of this process fails whose token is refused, as with a wrong password. Safe to repeat."""
    conn.OAuthAuthenticator = _Heeding


class _Heeding(OAuthAuthenticator):  # type: ignore[misc]  # aiokafka ships no types
    async def step(self, payload: bytes | None) -> Any:
        if payload:
            raise SaslAuthenticationFailed
        return await super().step(payload)
