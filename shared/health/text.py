"""A reading in words. Pure."""

from shared.health.model import Reading


def value_text(reading: Reading) -> str:
    """`26.1 hours, limit 25`; its note where there is no value."""
    if reading.value is None:
        return reading.note or "no value"
    said = number_text(reading.value, reading.unit)
    if reading.limit is not None:
        said += f", limit {number_text(reading.limit, reading.unit)}"
    return said + (f" ({reading.note})" if reading.note else "")


def number_text(value: float, unit: str) -> str:
    if unit == "ratio":
        return f"{100 * value:.1f} %"
    if unit.startswith("bytes"):
        return f"{value / 1_000_000:,.1f} MB{unit.removeprefix('bytes')}"
    number = f"{value:,.2f}" if isinstance(value, float) and not value.is_integer() else f"{int(value):,}"
    return f"{number} {unit}".rstrip()
