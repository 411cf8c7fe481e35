"""The services by name. Pure."""

from console.cli.errors import WrongUseError
from console.formatting import did_you_mean, listed
from shared.events.topology import SERVICES


def check_service(name: str) -> str:
    """Raises `WrongUseError` for a name that no service has."""
    if name not in SERVICES:
        raise WrongUseError(
            f"there is no service {name}{did_you_mean(name, SERVICES) or ': there are ' + listed(SERVICES)}"
        )
    return name
