"""The formats of this version: a module of this folder for each name in `SUPPORTED_FORMATS`."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from services.converter.formats.base import ExportFormat
from shared.events.names import SUPPORTED_FORMATS, Format


def _load(name: Format) -> ExportFormat:
    found: ExportFormat = import_module(f"services.converter.formats.{name}").FORMAT
    return found


FORMATS: Final[Mapping[Format, ExportFormat]] = {name: _load(name) for name in SUPPORTED_FORMATS}
