"""Puts figures into CloudWatch."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import aioboto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.quality.domain.run_figures import Figure
from services.quality.settings import CloudWatchSettings

NAMESPACE = "OnPoint/DataPipeline"
DIMENSIONS = [{"Name": "Pipeline", "Value": "OnPointETL"}]
MOST_AT_ONCE = 1000
"""Of CloudWatch, for one request."""
REFUSED = {"InvalidParameterValue", "InvalidParameterCombination", "MissingParameter", "InvalidFormat"}
"""What no second try can change."""


class FiguresRefusedError(Exception):
    """CloudWatch will never take these figures."""


class CloudWatchUnavailableError(Exception):
    """CloudWatch does not answer, or takes nothing from this client now."""


class CloudWatch:
    """An async context manager: one client, which opens connections as it needs them."""

    def __init__(self, settings: CloudWatchSettings) -> None:
        self._settings = settings
        self._resources = AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        session = aioboto3.Session()
        client = session.client(
            "cloudwatch",
            endpoint_url=self._settings.cloudwatch_endpoint_url,
            region_name=session.region_name or "us-east-1",
            config=Config(
                connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 2}
            ),
        )
        self._client = await self._resources.enter_async_context(client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    async def put(self, figures: Sequence[Figure]) -> None:
        """One request; at most `MOST_AT_ONCE` figures.

        Raises `FiguresRefusedError`, and `CloudWatchUnavailableError` for whatever else goes wrong.
        """
        try:
            await self._client.put_metric_data(
                Namespace=NAMESPACE, MetricData=[_datum(figure) for figure in figures]
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in REFUSED:
                raise FiguresRefusedError(str(error)) from error
            raise CloudWatchUnavailableError(str(error)) from error
        except (BotoCoreError, OSError, TimeoutError) as error:
            raise CloudWatchUnavailableError(str(error)) from error


def _datum(figure: Figure) -> dict[str, object]:
    return {
        "MetricName": figure.name,
        "Dimensions": DIMENSIONS,
        "Timestamp": figure.at,
        "Value": figure.value,
        "Unit": figure.unit,
    }
