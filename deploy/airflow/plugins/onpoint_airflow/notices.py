"""Notices to Slack and by e-mail, each only where its setting is there.

`ONPOINT_NOTIFY_SLACK_CONN_ID` names an Airflow connection of type slackwebhook; `ONPOINT_NOTIFY_EMAIL` has
addresses, comma-separated, sent to through the connection `smtp_default`.
"""

import os

from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import BaseNotifier

SLACK_TIMEOUT_S = 10

SUCCESS = "{{ ti.xcom_pull(task_ids=ti.task_id) }}"
"""The summary of the run, from the task that writes it."""

FAILURE = (
    "{{ dag.dag_id }} {{ run_id }}: task {{ ti.task_id }} failed: {{ exception }}\n"
    "{{ ti.xcom_pull(task_ids=ti.task_id, key='summary') or '' }}\n"
    "{{ ti.log_url }}"
)


AS_HTML = "{{% filter escape %}}{text}{{% endfilter %}}"
"""A summary contains texts of a source: in a mail they are text, never markup."""

AS_SLACK = "{{% filter replace('&', '&amp;') | replace('<', '&lt;') | replace('>', '&gt;') %}}{text}{{% endfilter %}}"
"""Slack's own rule: else a text could mention a whole channel, or hide where a link leads."""


def on_success() -> list[BaseNotifier]:
    return _notices("OnPoint: {{ dag.dag_id }} {{ run_id }} is done", SUCCESS)


def on_failure() -> list[BaseNotifier]:
    """For every task: called once its last try has failed."""
    return _notices("OnPoint: {{ dag.dag_id }} {{ run_id }} FAILED", FAILURE)


def _notices(subject: str, text: str) -> list[BaseNotifier]:
    found: list[BaseNotifier] = []
    if connection_id := os.environ.get("ONPOINT_NOTIFY_SLACK_CONN_ID"):
        found.append(
            SlackWebhookNotifier(
                slack_webhook_conn_id=connection_id,
                text=AS_SLACK.format(text=f"*{subject}*\n```{text}```"),
                timeout=SLACK_TIMEOUT_S,
            )
        )
    if addresses := os.environ.get("ONPOINT_NOTIFY_EMAIL"):
        found.append(
            SmtpNotifier(
                to=[address.strip() for address in addresses.split(",")],
                from_email=os.environ.get("ONPOINT_NOTIFY_EMAIL_FROM"),
                subject=subject,
                html_content=f"<pre>{AS_HTML.format(text=text)}</pre>",
            )
        )
    return found
