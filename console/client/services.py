"""The services by name. Pure."""

from console.client.errors import InvalidRequestError
from console.formatting import did_you_mean, listed
from shared.events.topology import SERVICES


def check_service(name: str) -> str:
    """Raises `InvalidRequestError` for a name that no service has."""
    if name not in SERVICES:
        raise InvalidRequestError(
            f"there is no service {name}{did_you_mean(name, SERVICES) or ': there are ' + listed(SERVICES)}"
        )
    return name
