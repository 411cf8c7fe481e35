"""How change capture is reached."""

from typing import Annotated

from pydantic import AfterValidator, Field

from shared.settings.model import Settings
from shared.settings.object_store import check_endpoint

ConnectUrl = Annotated[str, AfterValidator(check_endpoint)]


class ConnectSettings(Settings):
    cdc_connect_url: Annotated[
        ConnectUrl | None, Field(description="URL of Kafka Connect; absent: no changes are captured")
    ] = None
    cdc_secrets_dir: Annotated[
        str,
        Field(
            description="folder with the file postgres_cdc, the password of the role, as Kafka Connect sees it"
        ),
    ] = "/run/secrets"
