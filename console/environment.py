"""Where the settings come from: the environment, or else the local stack that runs in this checkout."""

import os
from collections.abc import Mapping
from typing import TypeVar

from console.errors import WrongUseError
from shared.datasets.catalog import Catalog, load_catalog
from shared.errors import ConfigurationError
from shared.settings import DatasetSettings, Settings, load_settings

ADDRESSES = ("ONPOINT_KAFKA_BOOTSTRAP_SERVERS", "ONPOINT_POSTGRES_DSN", "ONPOINT_S3_ENDPOINT_URL")
"""Whoever sets one of these means a certain installation: the local stack's are then left out of it altogether."""

_S = TypeVar("_S", bound=Settings)


def settings(model: type[_S]) -> _S:
    """The settings of this command.

    Raises `WrongUseError` that names what is missing, and `onpoint up` where nothing at all was set.
    """
    environment = find()
    try:
        return load_settings(model, environment)
    except ConfigurationError as error:
        if is_addressed(environment):
            raise
        raise WrongUseError(
            "no stack is running here: start one with `onpoint up`, or set ONPOINT_KAFKA_BOOTSTRAP_SERVERS and "
            "ONPOINT_POSTGRES_DSN to reach another"
        ) from error


def catalog() -> Catalog:
    """The datasets that the services know too. Raises `ConfigurationError` for a wrong file."""
    environment = find()
    return load_catalog(load_settings(DatasetSettings, environment).datasets_dir, environment)


def find(environ: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """The environment, with the running local stack's settings where it names no installation of its own."""
    environ = os.environ if environ is None else environ
    if is_addressed(environ):
        return environ
    return {**environ, **_of_running_stack(environ)}


def is_addressed(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) or environ.get(f"{name}_FILE") for name in ADDRESSES)


def _of_running_stack(environ: Mapping[str, str]) -> dict[str, str]:
    # Imported here: a service's image, where the environment names everything, need not hold deploy/.
    from deploy.local import launcher  # noqa: PLC0415
    from deploy.local.config import StackConfig  # noqa: PLC0415
    from deploy.local.credentials import load_or_create  # noqa: PLC0415
    from deploy.local.environment import client_environment  # noqa: PLC0415
    from deploy.local.home import Home  # noqa: PLC0415

    home = Home.from_environment(environ)
    if launcher.running_state(home) is None:
        return {}
    config = StackConfig.load(home)
    return {**config.overrides, **client_environment(home, config, load_or_create(home))}
