"""The formats that may be asked for are those that are written."""

from services.converter.formats.registry import FORMATS
from shared.events.names import SUPPORTED_FORMATS


def test_the_converter_writes_every_supported_format_and_no_other() -> None:
    assert tuple(FORMATS) == SUPPORTED_FORMATS
