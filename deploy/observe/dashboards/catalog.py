"""The dashboards."""

from deploy.observe.dashboards.boards.capture import CAPTURE
from deploy.observe.dashboards.boards.kafka import KAFKA
from deploy.observe.dashboards.boards.lake import LAKE
from deploy.observe.dashboards.boards.overview import OVERVIEW
from deploy.observe.dashboards.boards.postgres import POSTGRES
from deploy.observe.dashboards.boards.run import RUN
from deploy.observe.dashboards.boards.service import SERVICE

DASHBOARDS = (OVERVIEW, RUN, SERVICE, KAFKA, POSTGRES, LAKE, CAPTURE)
