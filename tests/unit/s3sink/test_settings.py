import pytest

from services.s3sink.settings import SinkSettings
from shared.errors import ConfigurationError
from shared.settings.model import load_settings


def test_the_defaults_are_64_and_128_mib_and_a_minute() -> None:
    settings = load_settings(SinkSettings, {})
    assert settings.s3sink_object_target_bytes == 67_108_864
    assert settings.s3sink_object_max_bytes == 134_217_728
    assert settings.s3sink_max_age_s == 60


def test_a_target_above_the_maximum_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ONPOINT_S3SINK_OBJECT_MAX_BYTES"):
        load_settings(SinkSettings, {"ONPOINT_S3SINK_OBJECT_TARGET_BYTES": "200000000"})
