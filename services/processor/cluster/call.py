"""The task as a scheduler sees it. A scheduler loads this module and nothing that it imports when it is called."""


def run_batch(crawled: bytes, dataset: bytes, wanted: str, limit_s: float) -> bytes:
    """As `task.run_batch`."""
    from services.processor.cluster import task  # noqa: PLC0415 - only a worker needs the engine's libraries

    return task.run_batch(crawled, dataset, wanted, limit_s)
