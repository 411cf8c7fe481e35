"""Where the services answer, as the setting names it."""

import pytest

from shared.errors import ConfigurationError
from shared.health.settings import HealthSettings
from shared.health.targets import Target, parse_targets
from shared.settings.model import load_settings


def test_each_entry_is_a_service_at_an_address() -> None:
    assert parse_targets("crawler=http://crawler:8080, s3sink-cdc=http://[::1]:9/") == (
        Target("crawler", "crawler", 8080),
        Target("s3sink-cdc", "::1", 9),
    )
    assert parse_targets("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "crawler",
        "crawler=crawler:8080",
        "crawler=https://crawler:1",
        "=http://crawler:1",
        "crawler=http://user:secret@crawler:1",
        "crawler=http://crawler:1/metrics",
        "crawler=http://crawler:1?x=y",
        "crawler=http://crawler:99999",
        ",".join(f"a{number}=http://a:1" for number in range(101)),
    ],
)
def test_another_text_stops_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match="ONPOINT_HEALTH_SERVICES"):
        load_settings(HealthSettings, {"ONPOINT_HEALTH_SERVICES": text})
