"""A mail over SMTP. Its Message-ID is the same for every try: mail programs show one message of several with one id."""

import asyncio
import html
import socket
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from shared.errors import ConfigurationError
from shared.news.channels.base import SEND_TIMEOUT_S
from shared.news.channels.http import PrivateAddressError, check_address
from shared.news.config import EmailChannel, Link
from shared.news.errors import ChannelRefusedError, ChannelUnavailableError
from shared.news.outbox import Delivery
from shared.news.text import body, subject

PERMANENT = 500
"""SMTP's answers from here on are for good."""


class Email:
    def __init__(self, config: EmailChannel, links: Sequence[Link]) -> None:
        self._config = config
        self._links = links

    async def send(self, delivery: Delivery) -> None:
        password = self._config.password.read() if self._config.password else None
        tls = _tls_context(self._config)
        mail = message(delivery, self._config, self._links)
        has_begun = is_taken = False
        refused: dict[str, aiosmtplib.SMTPResponse] = {}
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                connection = await _connect(self._config)
                client = aiosmtplib.SMTP(
                    hostname=self._config.host,
                    port=None,
                    sock=connection,
                    use_tls=self._config.security == "tls",
                    start_tls=self._config.security == "starttls",
                    tls_context=tls,
                    username=self._config.user,
                    password=password,
                    timeout=SEND_TIMEOUT_S,
                )
                async with client:
                    has_begun = True
                    refused, _ = await client.send_message(mail)
                    is_taken = True
        except PrivateAddressError as error:
            raise ChannelRefusedError(str(error)) from error
        except ssl.SSLError as error:
            raise ChannelRefusedError(f"TLS failed: {error.reason or type(error).__name__}") from error
        except aiosmtplib.SMTPAuthenticationError as error:
            raise _answered("the login was refused", error.code) from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [each.code for each in error.recipients]
            raise _answered("every recipient was refused", min(codes)) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _answered(f"the server answered {error.code} {_line(error.message)}", error.code) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            if not is_taken:  # else only its farewell failed
                raise ChannelUnavailableError(
                    f"the mail server did not take it: {type(error).__name__}", in_doubt=has_begun
                ) from error
        if refused:
            # The others have it: a second try would send it to them again.
            raise ChannelRefusedError(f"refused for {len(refused)} of {len(self._config.to)} recipients")


def _tls_context(config: EmailChannel) -> ssl.SSLContext:
    """Raises `ConfigurationError` where the CA's file cannot be read."""
    try:
        return ssl.create_default_context(cafile=config.ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"ca_file {config.ca_file} cannot be read: {type(error).__name__}"
        ) from error


async def _connect(config: EmailChannel) -> socket.socket:
    """To the address that was checked. Raises `PrivateAddressError` and `OSError`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)
    for *_, address in found:
        check_address(str(address[0]), allow_private=config.allow_private)
    failure: OSError | None = None
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, address)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure or OSError("the host has no address")


def message(delivery: Delivery, config: EmailChannel, links: Sequence[Link]) -> EmailMessage:
    item = delivery.item
    text = body(item, links, in_doubt=False)
    mail = EmailMessage()
    mail["Subject"] = subject(item)
    mail["From"] = config.sender
    mail["To"] = ", ".join(config.to)
    mail["Date"] = format_datetime(item.happened_at)
    mail["Message-ID"] = f"<{delivery.id}@{config.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text)
    # Texts of a source are text here, never markup.
    mail.add_alternative(
        f"<html><body><pre style='font-family:monospace'>{html.escape(text)}</pre></body></html>",
        subtype="html",
    )
    return mail


def _answered(said: str, code: int) -> ChannelUnavailableError | ChannelRefusedError:
    return ChannelRefusedError(said) if code >= PERMANENT else ChannelUnavailableError(said)


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
