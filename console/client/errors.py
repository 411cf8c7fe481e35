"""Why something cannot be done, in one sentence that also tells what to do about it."""

from shared.errors import OnPointError


class ClientError(OnPointError):
    """It cannot be done now, or not with what is there."""


class InvalidRequestError(ClientError):
    """It can never be done as it was asked: a name or a value is wrong."""
