"""`python -m deploy.observe.dashboards` writes the JSON of every dashboard beside this file."""

from deploy.observe.dashboards.catalog import DASHBOARDS
from deploy.observe.dashboards.grafana import file_of, rendered


def main() -> None:
    for dashboard in DASHBOARDS:
        file_of(dashboard).write_text(rendered(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
