"""The file of channels and routes: what it leads to, and what its mistakes look like."""

from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.news.config import NewsConfig, read_news_config
from shared.news.item import NewsItem
from tests.unit.shared.news.items import RUN_ENDED

GOOD = """
channels:
  team: {kind: slack, url: {env: TEAM_URL}}
  hook: {kind: webhook, url: "https://example.org/onpoint", secret: {env: HOOK_SECRET}}
  mail:
    {kind: email, host: smtp.example.org, from: onpoint@example.org, to: [data@example.org], user: onpoint,
     password: {env: MAIL_PASSWORD}}
  phone: {kind: apprise, url: {env: PHONE_URL}}
routes:
  - {to: [team], kinds: [run_completed], statuses: [failed, partial]}
  - {to: [hook, team]}
  - {to: [mail], severity: error}
  - {to: [phone], datasets: [stories]}
links:
  - {label: Grafana, url: "https://grafana.example.org/d/run?var-run={run_id}"}
"""
SECRETS = {
    "TEAM_URL": "https://hooks/x",
    "HOOK_SECRET": "0" * 32,
    "MAIL_PASSWORD": "p",
    "PHONE_URL": "json://x",
}


def read(tmp_path: Path, text: str, environ: dict[str, str] = SECRETS) -> NewsConfig:
    path = tmp_path / "news.yaml"
    path.write_text(text, encoding="utf-8")
    return read_news_config(path, environ)


def refusal(tmp_path: Path, text: str, environ: dict[str, str] = SECRETS) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text, environ)
    return str(caught.value)


def test_without_a_file_there_is_no_channel() -> None:
    assert read_news_config(None).channels_of(RUN_ENDED) == ()


@pytest.mark.parametrize(
    ("change", "channels"),
    [
        ({}, ("team", "hook")),
        ({"status": "succeeded"}, ("team", "hook")),
        ({"severity": "error"}, ("team", "hook", "mail")),
        ({"datasets": ("stories",)}, ("team", "hook", "phone")),
        ({"datasets": ()}, ("team", "hook")),
    ],
)
def test_an_item_goes_to_each_channel_whose_route_takes_it_once(
    tmp_path: Path, change: dict[str, object], channels: tuple[str, ...]
) -> None:
    item = NewsItem.model_validate(RUN_ENDED.model_dump() | change)
    assert read(tmp_path, GOOD).channels_of(item) == channels


def test_a_route_takes_only_what_fits_all_of_it(tmp_path: Path) -> None:
    text = GOOD.replace("  - {to: [hook, team]}\n", "")
    config = read(tmp_path, text)
    assert config.channels_of(RUN_ENDED) == ("team",)
    assert config.channels_of(RUN_ENDED.model_copy(update={"status": "succeeded"})) == ()
    assert config.channels_of(RUN_ENDED.model_copy(update={"kind": "check_failed"})) == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("url: {env: TEAM_URL}", "url: https://hooks.example.org/T/B/s3cret", "channels.team"),
        ("{env: HOOK_SECRET}", "0123456789abcdef-s3cret", "channels.hook"),
        ("{env: MAIL_PASSWORD}", "s3cret", "channels.mail"),
        ("{env: PHONE_URL}", "{env: PHONE_URL, file: /s3cret}", "write {env: NAME} or {file: PATH}"),
        ("to: [team],", "to: [teem],", "a route leads to teem"),
        ("statuses:", "status:", "routes.0.status"),
        ("severity: error", "severity: high", "routes.2.severity"),
        ("kind: slack", "kind: pigeon", "channels.team"),
        ("https://example.org/onpoint", "https://user:s3cret@example.org/", "channels.hook"),
        ("https://example.org/onpoint", "file:///etc/passwd", "channels.hook"),
        ("from: onpoint@example.org", 'from: "a@b\\nBcc: s3cret@example.org"', "channels.mail"),
        ("kind: email,", "kind: email, security: none,", "a password is sent over starttls or tls only"),
        ("channels:", "channels: [", "line"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_without_a_value(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert GOOD.count(old)
    told = refusal(tmp_path, GOOD.replace(old, new, 1))
    assert said in told
    assert "s3cret" not in told


def test_every_secret_that_is_missing_is_named(tmp_path: Path) -> None:
    told = refusal(tmp_path, GOOD, {})
    assert told.count("\n") == 3
    for channel, name in (
        ("team.url", "TEAM_URL"),
        ("hook.secret", "HOOK_SECRET"),
        ("phone.url", "PHONE_URL"),
    ):
        assert f"channels.{channel}: neither {name} nor {name}_FILE is set" in told


def test_a_secret_may_be_in_a_file_and_change_there(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("first\n")
    config = read(tmp_path, GOOD, {**SECRETS, "PHONE_URL": "", "PHONE_URL_FILE": str(secret)})
    reference = config.channels["phone"].secrets["url"]
    assert reference.read({"PHONE_URL_FILE": str(secret)}) == "first"
    secret.write_text("second\n")
    assert reference.read({"PHONE_URL_FILE": str(secret)}) == "second"


def test_a_file_that_is_missing_or_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere.yaml cannot be read: No such file"):
        read_news_config(tmp_path / "nowhere.yaml")
    assert "more than" in refusal(tmp_path, "#" * 300_000)


def test_no_secret_is_in_the_text_of_a_configuration(tmp_path: Path) -> None:
    assert not [value for value in SECRETS.values() if len(value) > 1 and value in repr(read(tmp_path, GOOD))]
