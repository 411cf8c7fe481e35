"""The value of a record that carries an event."""

from shared.bus.messages import Outgoing
from shared.errors import OnPointError
from shared.events.decode import MAX_EVENT_BYTES, encode


class EventTooLargeError(OnPointError):
    """The event is above the broker's limit. Sending it would make the producer unusable."""


def value_of(outgoing: Outgoing) -> bytes:
    """The value of its record. Raises `EventTooLargeError`."""
    value = encode(outgoing.event)
    if len(value) > MAX_EVENT_BYTES:
        raise EventTooLargeError(
            f"an event for {outgoing.topic} has {len(value)} bytes, at most {MAX_EVENT_BYTES}"
        )
    return value
