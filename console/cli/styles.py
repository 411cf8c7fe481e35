"""Colours of the command line."""

STATUS_STYLE = {
    "succeeded": "bold green",
    "partial": "bold yellow",
    "failed": "bold red",
    "cancelled": "bold yellow",
    "running": "bold cyan",
    "asked": "bold cyan",
}
"""Of the status of a run."""
