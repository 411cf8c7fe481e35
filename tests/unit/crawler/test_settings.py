import pytest

from services.crawler.app import _allowed_hosts
from services.crawler.settings import CrawlSettings
from shared.errors import ConfigurationError
from shared.settings.model import load_settings


def test_nothing_private_is_allowed_unless_it_is_named() -> None:
    settings = load_settings(CrawlSettings, {})
    assert settings.crawl_allow_hosts == ""
    assert ("127.0.0.1", 80) not in _allowed_hosts(settings)


def test_a_wrong_host_stops_the_service_at_start() -> None:
    settings = load_settings(CrawlSettings, {"ONPOINT_CRAWL_ALLOW_HOSTS": "good:80, http://bad"})
    with pytest.raises(
        ConfigurationError, match=r"ONPOINT_CRAWL_ALLOW_HOSTS: 'http://bad' is not a host\[:port\]"
    ):
        _allowed_hosts(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRAWL_TIMEOUT_S", "0"),
        ("CRAWL_TIMEOUT_S", "soon"),
        ("CRAWL_USER_AGENT", "a\r\nX-Injected: b"),
        ("CRAWL_USER_AGENT", "x" * 300),
    ],
)
def test_a_wrong_setting_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"ONPOINT_{name}"):
        load_settings(CrawlSettings, {f"ONPOINT_{name}": value})
