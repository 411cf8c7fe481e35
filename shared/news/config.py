"""The file of an installation's channels and routes: its model, and how it is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from shared.errors import ConfigurationError
from shared.events.ids import DATASET_PATTERN
from shared.news.item import Kind, NewsItem, Severity
from shared.news.secrets import SecretReference

MAX_FILE_BYTES = 256 * 1024
MAX_CHANNELS = 50
"""Each has a sender of its own."""

ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s\\@]+$", max_length=2000)]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,253}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[^\s<>,;\"@]+@[^\s<>,;\"@]+$", max_length=320)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SlackChannel(Part):
    kind: Literal["slack"]
    url: SecretReference
    """The incoming webhook: whoever knows it may post."""
    allow_private: bool = False

    @property
    def secrets(self) -> Mapping[str, SecretReference]:
        return {"url": self.url}


class WebhookChannel(Part):
    kind: Literal["webhook"]
    url: Url | SecretReference
    secret: SecretReference
    """Signs each request: the receiver knows by it that it comes from here."""
    allow_private: bool = False

    @property
    def secrets(self) -> Mapping[str, SecretReference]:
        own = {"secret": self.secret}
        return own if isinstance(self.url, str) else {"url": self.url, **own}


class EmailChannel(Part):
    kind: Literal["email"]
    host: Host
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: SecretReference | None = None
    sender: Annotated[Address, Field(alias="from")]
    to: Annotated[tuple[Address, ...], Field(min_length=1, max_length=50)]
    allow_private: bool = False
    ca_file: Path | None = None
    """Of the CA that signed the server's certificate; None: the system's."""

    @model_validator(mode="after")
    def login_is_whole_and_encrypted(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together")
        if self.user is not None and self.security == "none":
            raise ValueError("a password is sent over starttls or tls only")
        return self

    @property
    def secrets(self) -> Mapping[str, SecretReference]:
        return {"password": self.password} if self.password else {}


class AppriseChannel(Part):
    kind: Literal["apprise"]
    url: SecretReference
    """As Apprise spells it; it contains the service's credentials."""

    @property
    def secrets(self) -> Mapping[str, SecretReference]:
        return {"url": self.url}


ChannelConfig = Annotated[
    SlackChannel | WebhookChannel | EmailChannel | AppriseChannel, Field(discriminator="kind")
]


class Route(Part):
    """Which news goes to which channels. What is left out does not matter; what is there must all fit."""

    to: Annotated[tuple[ChannelName, ...], Field(min_length=1)]
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] | None = None
    datasets: (
        Annotated[
            tuple[Annotated[str, StringConstraints(pattern=f"^{DATASET_PATTERN}$")], ...], Field(min_length=1)
        ]
        | None
    ) = None
    statuses: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    severity: Severity | None = None
    """The least one."""

    def takes(self, item: NewsItem) -> bool:
        return (
            (self.kinds is None or item.kind in self.kinds)
            and (self.statuses is None or item.status in self.statuses)
            and (self.severity is None or item.is_at_least(self.severity))
            and (self.datasets is None or not set(self.datasets).isdisjoint(item.datasets))
        )


class Link(Part):
    """Shown with the news of a run: `{run_id}` stands for its id."""

    label: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    url: Url


class NewsConfig(Part):
    channels: Annotated[dict[ChannelName, ChannelConfig], Field(max_length=MAX_CHANNELS)] = Field(
        default_factory=dict
    )
    routes: tuple[Route, ...] = ()
    links: Annotated[tuple[Link, ...], Field(max_length=10)] = ()

    @model_validator(mode="after")
    def routes_lead_somewhere(self) -> Self:
        unknown = {name for route in self.routes for name in route.to} - self.channels.keys()
        if unknown:
            raise ValueError(f"a route leads to {', '.join(sorted(unknown))}, and no channel has this name")
        return self

    def channels_of(self, item: NewsItem) -> tuple[str, ...]:
        """Every channel that gets it, each once, in the order of the file."""
        found = {name for route in self.routes if route.takes(item) for name in route.to}
        return tuple(name for name in self.channels if name in found)


def read_news_config(path: Path | None, environ: Mapping[str, str] | None = None) -> NewsConfig:
    """The file's content, each secret looked up once. Without a path: no channels. Raises as `parse_news_config`."""
    if path is None:
        return NewsConfig()
    config = parse_news_config(path)
    mistakes = []
    for name, channel in config.channels.items():
        for field, reference in channel.secrets.items():
            try:
                reference.read(environ)
            except ConfigurationError as error:
                mistakes.append(f"{path}: channels.{name}.{field}: {error}")
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return config


def parse_news_config(path: Path) -> NewsConfig:
    """The file's content. No secret is looked up.

    Raises `ConfigurationError` with a line for each mistake; no value of the file is in it.
    """
    try:
        return NewsConfig.model_validate(_document(path))
    except ValidationError as error:
        lines = [f"{path}: {_place(item['loc'])}{item['msg']}" for item in error.errors(include_input=False)]
        raise ConfigurationError("\n".join(lines)) from error


def _document(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigurationError(f"{path}: more than {MAX_FILE_BYTES:,} bytes")
        return yaml.safe_load(data) or {}
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(f"{path}{line}: {error.problem or 'it is not YAML'}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not YAML: {type(error).__name__}") from error


def _place(location: tuple[int | str, ...]) -> str:
    return "".join([".".join(map(str, location)), ": "]) if location else ""
