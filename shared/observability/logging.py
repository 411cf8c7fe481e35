"""Structured logs on standard error: a JSON object per line, or readable lines where that is a terminal.

The ids are bound once per record. No line shows a secret of the process's settings. docs/logs.md lists the events.
"""

import logging
import os
import sys
from typing import Any, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from shared.observability.secrets import known_secrets, masked

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Masked:
    """Renders a line, without the secrets."""

    def __init__(self, render: Any) -> None:
        self._render = render
        self._secrets = known_secrets(os.environ)

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        return masked(self._render(logger, name, event), self._secrets)


def _for_people() -> structlog.dev.ConsoleRenderer:
    """Texts are quoted, as a terminal obeys what is in some; tracebacks show no values of variables."""
    return structlog.dev.ConsoleRenderer(
        repr_native_str=True, exception_formatter=structlog.dev.plain_traceback
    )


def configure_logging(service: str, level: str) -> None:
    """Call once per process. Libraries that use the standard logging come out the same way, from warning up."""
    is_read_by_people = sys.stderr.isatty()
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not is_read_by_people:
        processors.append(structlog.processors.format_exc_info)
    renderer = _Masked(_for_people() if is_read_by_people else structlog.processors.JSONRenderer())
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*processors, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # While the broker is unavailable aiokafka logs it several times a second; the bus logs it once, with its time.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def get_logger() -> FilteringBoundLogger:
    return cast("FilteringBoundLogger", structlog.get_logger())
