-- What an order asks for is done once, however often it is carried out: each of its dead letters has one row.
ALTER TABLE onpoint_console.dlq_actions ADD COLUMN action_id text;
CREATE UNIQUE INDEX dlq_actions_once ON onpoint_console.dlq_actions (action_id, service, "partition", "offset")
    WHERE action_id IS NOT NULL;
-- What was acknowledged lately.
CREATE INDEX dlq_actions_acknowledged ON onpoint_console.dlq_actions (acknowledged_at) WHERE acknowledged_at IS NOT NULL;
