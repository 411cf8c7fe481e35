"""Channels against real servers on loopback: what arrives, and what the sender is told when it does not."""

import base64
import hashlib
import hmac
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared.errors import ConfigurationError
from shared.news.channels.apprise import Apprise
from shared.news.channels.base import Channel
from shared.news.channels.email import Email
from shared.news.channels.open import open_channels
from shared.news.channels.webhook import signing_key
from shared.news.config import EmailChannel, NewsConfig
from shared.news.errors import ChannelRefusedError, ChannelUnavailableError
from tests.support.certificates import Certificates, make_certificates
from tests.support.news_receivers import MailReceiver, mail_receiver, web_receiver
from tests.unit.shared.news.items import RUN_ENDED, delivery_of

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
DELIVERY = delivery_of(RUN_ENDED)


def channel_of(monkeypatch: pytest.MonkeyPatch, secrets: dict[str, str], **config: Any) -> Channel:
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    return open_channels(NewsConfig.model_validate({"channels": {"team": config}}))["team"]


def webhook(monkeypatch: pytest.MonkeyPatch, url: str, *, allow_private: bool = True) -> Channel:
    return channel_of(
        monkeypatch,
        {"HOOK_SECRET": SECRET},
        kind="webhook",
        url=url,
        secret={"env": "HOOK_SECRET"},
        allow_private=allow_private,
    )


async def test_a_webhook_is_signed_as_standard_webhooks_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web_receiver() as receiver:
        await webhook(monkeypatch, f"{receiver.url}/onpoint").send(DELIVERY)
    [request] = receiver.received
    headers = request.headers
    assert request.path == "/onpoint"
    assert headers["webhook-id"] == headers["idempotency-key"] == DELIVERY.id
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.digest(b"k" * 24, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert request.document["type"] == "run_completed"
    assert request.document["timestamp"] == "2026-11-29T08:00:00.000000Z"
    assert request.document["data"]["rows"][0]["loaded_before"] == 1000


async def test_slack_gets_its_message_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web_receiver() as receiver:
        secrets = {"SLACK_URL": f"{receiver.url}/services/T/B/s3cret"}
        slack = channel_of(monkeypatch, secrets, kind="slack", url={"env": "SLACK_URL"}, allow_private=True)
        await slack.send(DELIVERY)
    assert set(receiver.received[0].document) == {"text", "blocks"}


@pytest.mark.parametrize(
    ("status", "headers", "error", "retry_after_s"),
    [
        (500, {}, ChannelUnavailableError, None),
        (503, {"Retry-After": "7"}, ChannelUnavailableError, 7),
        (429, {"Retry-After": "99999999"}, ChannelUnavailableError, 3600),
        (429, {"Retry-After": "Sun, 29 Nov 2026 08:00:00 GMT"}, ChannelUnavailableError, None),
        (404, {}, ChannelRefusedError, None),
        (400, {}, ChannelRefusedError, None),
        (302, {"Location": "http://127.0.0.1:1/"}, ChannelRefusedError, None),
    ],
)
async def test_an_answer_tells_whether_to_try_again(
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    headers: dict[str, str],
    error: type[Exception],
    retry_after_s: float | None,
) -> None:
    async with web_receiver() as receiver:
        receiver.answers = [web.Response(status=status, headers=headers, text="why\x1b[2J\n not")]
        with pytest.raises(error) as caught:
            await webhook(monkeypatch, receiver.url).send(DELIVERY)
    assert str(caught.value).startswith(f"the server answered {status}: why [2J not")
    assert getattr(caught.value, "retry_after_s", None) == retry_after_s
    assert not getattr(caught.value, "in_doubt", False)
    assert len(receiver.received) == 1, "no redirect is followed"


async def test_no_answer_in_time_leaves_the_delivery_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.news.channels.http.SEND_TIMEOUT_S", 0.2)
    async with web_receiver() as receiver:
        receiver.delay_s = 2
        with pytest.raises(ChannelUnavailableError, match="no answer within") as caught:
            await webhook(monkeypatch, receiver.url).send(DELIVERY)
    assert caught.value.in_doubt


async def test_a_server_that_is_not_there_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChannelUnavailableError, match="cannot be reached") as caught:
        await webhook(monkeypatch, "http://127.0.0.1:1/s3cret").send(DELIVERY)
    assert not caught.value.in_doubt
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]"],
)
async def test_a_private_address_is_refused_unless_the_channel_allows_it(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    async with web_receiver() as receiver:
        url = receiver.url.replace("127.0.0.1", host)
        with pytest.raises(ChannelRefusedError, match=r"private address: set `allow_private: true`"):
            await webhook(monkeypatch, url, allow_private=False).send(DELIVERY)
    assert receiver.received == []


@pytest.mark.parametrize("secret", ["short", "whsec_not base64", "whsec_" + base64.b64encode(b"k").decode()])
def test_a_key_that_signs_nothing_is_refused(secret: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        signing_key(secret)
    assert secret not in str(caught.value)


def mail_channel(receiver: MailReceiver, **config: Any) -> Email:
    settings = {
        "kind": "email",
        "host": receiver.host,
        "port": receiver.port,
        "security": "none",
        "from": "onpoint@example.org",
        "to": ["data@example.org", "night@example.org"],
        "allow_private": True,
    }
    return Email(EmailChannel.model_validate(settings | config), ())


async def test_a_mail_has_the_same_id_for_every_try() -> None:
    async with mail_receiver() as receiver:
        await mail_channel(receiver).send(DELIVERY)
        await mail_channel(receiver).send(delivery_of(RUN_ENDED, in_doubt=True))
    first, second = receiver.mails
    assert first["Message-ID"] == second["Message-ID"] == f"<{DELIVERY.id}@example.org>"
    assert first["Subject"] == "OnPoint: run nightly partial"
    assert receiver.recipients[:2] == ["data@example.org", "night@example.org"]
    plain = first.get_body(("plain",))
    assert plain is not None
    assert "posts      1,040         0   1,040  1,000 (+4 %)   1,040" in plain.get_content()


async def test_a_text_of_a_source_adds_no_header_and_no_markup() -> None:
    hostile = "<script>alert(1)</script>\r\nBcc: eve@example.org"
    item = RUN_ENDED.model_copy(update={"title": hostile, "text": hostile})
    async with mail_receiver() as receiver:
        await mail_channel(receiver).send(delivery_of(item))
    [mail] = receiver.mails
    assert mail["Bcc"] is None
    marked_up = mail.get_body(("html",))
    assert marked_up is not None
    assert "<script>" not in marked_up.get_content()


def tls_of(tmp_path: Path) -> tuple[Certificates, ssl.SSLContext]:
    certificates = make_certificates(tmp_path / "tls", "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates.keystore)
    return certificates, tls


async def test_a_mail_server_may_speak_tls_from_the_first_byte_on(tmp_path: Path) -> None:
    certificates, tls = tls_of(tmp_path)
    async with mail_receiver(tls=tls, at_once=True) as receiver:
        await mail_channel(receiver, security="tls", ca_file=certificates.ca).send(DELIVERY)
    assert len(receiver.mails) == 1


async def test_a_login_goes_over_tls_with_a_certificate_that_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates, tls = tls_of(tmp_path)
    monkeypatch.setenv("MAIL_PASSWORD", "right")
    login = {"security": "starttls", "user": "onpoint", "password": {"env": "MAIL_PASSWORD"}}
    async with mail_receiver(tls=tls, login=("onpoint", "right")) as receiver:
        await mail_channel(receiver, **login, ca_file=certificates.ca).send(DELIVERY)
        assert len(receiver.mails) == 1
        with pytest.raises(ChannelRefusedError, match="TLS failed: CERTIFICATE_VERIFY_FAILED"):
            await mail_channel(receiver, **login).send(DELIVERY)
        monkeypatch.setenv("MAIL_PASSWORD", "wrong")
        with pytest.raises(ChannelRefusedError, match="the login was refused"):
            await mail_channel(receiver, **login, ca_file=certificates.ca).send(DELIVERY)
    assert len(receiver.mails) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [("451 later", ChannelUnavailableError), ("550 never", ChannelRefusedError)],
)
async def test_a_mail_server_tells_whether_to_try_again(answer: str, error: type[Exception]) -> None:
    async with mail_receiver() as receiver:
        receiver.answers = [answer]
        with pytest.raises(error, match=f"the server answered {answer}"):
            await mail_channel(receiver).send(DELIVERY)


async def test_a_private_mail_server_is_refused_unless_the_channel_allows_it() -> None:
    async with mail_receiver() as receiver:
        with pytest.raises(ChannelRefusedError, match="private address"):
            await mail_channel(receiver, allow_private=False).send(DELIVERY)
    assert receiver.mails == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning:apprise", "ignore:.*imghdr:DeprecationWarning")
async def test_apprise_sends_to_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web_receiver() as receiver:
        address = receiver.url.replace("http://", "json://")
        channel = channel_of(monkeypatch, {"PHONE_URL": address}, kind="apprise", url={"env": "PHONE_URL"})
        assert isinstance(channel, Apprise)
        await channel.send(DELIVERY)
        receiver.answers = [web.Response(status=500)]
        with pytest.raises(ChannelUnavailableError, match="could not send"):
            await channel.send(DELIVERY)
    document = json.loads(receiver.received[0].body)
    assert document["title"] == "OnPoint: run nightly partial"
    assert document["type"] == "warning"
    assert "1 batch of posts is dead" in document["message"]
