"""`onpoint resume`: closes the circuit breaker of a service of the local stack."""

import http.client
import os
from typing import Annotated

import typer

from console.cli.errors import CommandError
from console.client.services import check_service
from deploy.local.home import Home
from deploy.local.ports import HOST
from deploy.local.status import rows
from shared.runtime.paths import RESUME_PATH

TIMEOUT_S = 5.0

EXAMPLES = """\b
Examples:
  onpoint resume loader

\b
A service whose records nearly all fail stands still and says so (`onpoint
ps`, /readyz): first mend the cause. It also goes on by itself once a record
works.
Elsewhere, on the service's machine: curl -X POST http://127.0.0.1:PORT/resume
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(resume)


def resume(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="Its name, as `onpoint ps` shows it.", show_default=False)
    ],
) -> None:
    """Release the brake of a service of the local stack."""
    check_service(service)
    found = {row.name: row for row in rows(Home.from_environment(os.environ))}
    if service not in found or found[service].pid is None:
        raise CommandError(f"{service} does not run here: see `onpoint ps`")
    print(f"{service}: {release(found[service].port)}")


def release(port: int) -> str:
    """What the service on this port answers. Raises `CommandError` where it does not."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", RESUME_PATH)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"the service on port {port} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise CommandError(f"the service on port {port} refused: {answer.status} {text}")
    return text
