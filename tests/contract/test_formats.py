"""The formats that may be asked for are those that are written."""

from services.converter.service import EXPORTS
from shared.events.names import SUPPORTED_FORMATS


def test_the_converter_writes_every_supported_format_and_no_other() -> None:
    assert tuple(EXPORTS) == SUPPORTED_FORMATS
