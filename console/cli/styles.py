"""Colours of the command line."""

STATUS_STYLE = {
    "succeeded": "bold green",
    "partial": "bold yellow",
    "failed": "bold red",
    "cancelled": "bold yellow",
    "running": "bold cyan",
    "asked": "bold cyan",
}
"""How the status of a run looks."""
