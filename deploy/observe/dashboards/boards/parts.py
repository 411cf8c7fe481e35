"""Panels in one line."""

from deploy.observe.dashboards.model import Panel, Query, Unit


def panel(
    title: str, *queries: tuple[str, str], unit: Unit = "short", says: str = "", only_under: str = ""
) -> Panel:
    return Panel(title, tuple(Query(*query) for query in queries), unit, says, only_under=only_under)


def stat(title: str, expr: str, unit: Unit = "short", says: str = "", only_under: str = "") -> Panel:
    return Panel(title, (Query(expr),), unit, says, "stat", only_under)
