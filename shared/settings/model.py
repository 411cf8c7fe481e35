"""The base of every settings model, and how a model is filled from the environment."""

import os
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import ConfigurationError
from shared.settings import wording
from shared.settings.variables import read_setting, variable_of


class Settings(BaseModel):
    """Base of every settings model: field `x_y` is read from `ONPOINT_X_Y`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


_S = TypeVar("_S", bound=Settings)


def load_settings(model: type[_S], environment: Mapping[str, str] | None = None) -> _S:
    """The settings, with `<NAME>_FILE` variables read.

    Raises `ConfigurationError` that names every wrong variable and what it should be, and never a value.
    """
    environment = os.environ if environment is None else environment
    values = {field: read_setting(field, environment) for field in model.model_fields}
    try:
        return model.model_validate({name: value for name, value in values.items() if value})
    except ValidationError as error:
        lines = [
            _mistake(model, item["loc"], wording.reason(item)) for item in error.errors(include_input=False)
        ]
        raise ConfigurationError("\n".join(lines)) from error


def _mistake(model: type[Settings], location: tuple[int | str, ...], reason: str) -> str:
    """A fault of several settings together names them itself."""
    if not location:
        return reason
    name = str(location[0])
    field = model.model_fields.get(name)
    meaning = f" ({field.description})" if field is not None and field.description else ""
    return f"{variable_of(name)}: {reason}{meaning}"
