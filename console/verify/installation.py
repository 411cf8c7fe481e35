"""What the checker needs to know of the installation that it checks."""

from typing import TYPE_CHECKING, Protocol, TypeVar

from console.verify.process_usage import ServiceProcess

if TYPE_CHECKING:
    from shared.bus.kafka import KafkaClients
    from shared.datasets.catalog import Catalog
    from shared.settings.model import Settings

S = TypeVar("S", bound="Settings")


class Installation(Protocol):
    """Each method raises `OnPointError` where its setting is missing or wrong."""

    def ledger_dsn(self) -> str: ...

    def kafka(self) -> "KafkaClients": ...

    def catalog(self) -> "Catalog": ...

    def settings(self, model: type[S]) -> S:
        """The settings of a model of `shared.settings`."""

    def use_credentials(self) -> None:
        """Lets the object store's drivers find their credentials."""

    def service_processes(self) -> list[ServiceProcess]:
        """The services that run on this machine."""
