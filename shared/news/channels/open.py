"""The channels of a file, ready to send."""

from typing import assert_never

from shared.news.channels.apprise import Apprise
from shared.news.channels.base import Channel
from shared.news.channels.email import Email
from shared.news.channels.slack import Slack
from shared.news.channels.webhook import Webhook, signing_key
from shared.news.config import (
    AppriseChannel,
    ChannelConfig,
    EmailChannel,
    NewsConfig,
    SlackChannel,
    WebhookChannel,
)


def open_channels(config: NewsConfig) -> dict[str, Channel]:
    """By their names. Nothing connects. Raises `ConfigurationError`."""
    return {name: open_channel(channel, config) for name, channel in config.channels.items()}


def open_channel(channel: ChannelConfig, config: NewsConfig) -> Channel:
    """Nothing connects. Raises `ConfigurationError`."""
    match channel:
        case SlackChannel():
            return Slack(channel, config.links)
        case WebhookChannel():
            signing_key(channel.secret.read())
            return Webhook(channel, config.links)
        case EmailChannel():
            return Email(channel, config.links)
        case AppriseChannel():
            return Apprise(channel, config.links)
        case _:
            assert_never(channel)
