"""A dashboard as Grafana reads it."""

from pathlib import Path
from string import ascii_uppercase

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from deploy.observe.dashboards.model import Dashboard, Panel, Variable

FOLDER = Path(__file__).with_name("json")
SOURCE = "datasource"
COLUMNS = 24
UNITS = {"rows": "rowsps", "ops": "ops"}


def file_of(dashboard: Dashboard) -> Path:
    return FOLDER / f"{dashboard.uid}.json"


def rendered(dashboard: Dashboard) -> str:
    """The JSON of the dashboard, the same for the same dashboard."""
    board = (
        build.Dashboard(dashboard.title)
        .uid(dashboard.uid)
        .tags(["onpoint"])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .readonly()
        .with_variable(build.DatasourceVariable(SOURCE).label("Prometheus").type("prometheus"))
    )
    for variable in dashboard.variables:
        board.with_variable(_variable(variable))
    for row in dashboard.rows:
        board.with_row(build.Row(row.title))
        for panel in row.panels:
            board.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _variable(variable: Variable) -> build.QueryVariable:
    return (
        build.QueryVariable(variable.label)
        .label(variable.label)
        .query(f"label_values({variable.metric}, {variable.label})")
        .datasource(_source())
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(variable.everything)
    )


def _panel(panel: Panel) -> timeseries.Panel | stat.Panel:
    made: timeseries.Panel | stat.Panel
    if panel.kind == "stat":
        made = (
            stat.Panel()
            .height(4)
            .span(COLUMNS // 6)
            .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        )
    else:
        legend = (
            VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
        made = timeseries.Panel().height(8).span(COLUMNS // 3).min(0).legend(legend)
    made.title(panel.title).unit(UNITS.get(panel.unit, panel.unit)).datasource(_source())
    says = [panel.says] if panel.says else []
    if panel.only_under:
        says.append(f"Has data only with {panel.only_under}.")
    if says:
        made.description(" ".join(says))
    for name, query in zip(ascii_uppercase, panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query.expr).datasource(_source()).ref_id(name)
        made.with_target(target.legend_format(query.legend) if query.legend else target)
    return made


def _source() -> DataSourceRef:
    return DataSourceRef(type_val="prometheus", uid=f"${{{SOURCE}}}")
