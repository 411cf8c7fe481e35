"""For every alert: figures under which it fires, and figures under which it is silent.

The figures are in promtool's notation (`0+10x40`: from 0, 40 times 10 more), one sample every 15 seconds.
"""

from dataclasses import dataclass

Figures = dict[str, str]

ALL_UP = {
    f'up{{job="onpoint", service="{name}", instance="{name}:1"}}': "1x400"
    for name in ("crawler", "processor", "converter", "loader", "s3sink", "quality")
}


@dataclass(frozen=True)
class Case:
    alert: str
    fires: Figures
    quiet: Figures
    after: str = "10m"
    """When both are looked at."""
    severity: str = "ticket"
    count: int = 1


def loader(metric: str, **labels: str) -> str:
    """A series of the one process of the loader."""
    rest = "".join(f', {name}="{value}"' for name, value in labels.items())
    return f'{metric}{{service="loader", instance="loader:1"{rest}}}'


def quality(metric: str, **labels: str) -> str:
    rest = "".join(f', {name}="{value}"' for name, value in labels.items())
    return f'{metric}{{service="quality", instance="quality:1"{rest}}}'


def capture(metric: str) -> str:
    return f'{metric}{{service="s3sink-cdc", instance="s3sink-cdc:1"}}'


HANDLED = "onpoint_records_handled_total"
DEAD = "onpoint_dead_letters_total"
INFINITE = " ".join(["Inf"] * 80)

CASES = (
    Case(
        "ServiceDown",
        fires={**ALL_UP, 'up{job="onpoint", service="loader", instance="loader:1"}': "1x8 0x60"},
        # A service that starts anew is away for a moment.
        quiet={**ALL_UP, 'up{job="onpoint", service="loader", instance="loader:1"}': "1x8 0x4 1x60"},
        severity="page",
    ),
    Case(
        "ServiceDown",
        # Discovery by DNS knows nothing of a container that is gone.
        fires={name: values for name, values in ALL_UP.items() if "loader" not in name},
        quiet=ALL_UP,
        severity="page",
    ),
    Case(
        "BrokerUnreachable",
        fires={loader("onpoint_broker_reachable"): "1x8 0x60"},
        quiet={loader("onpoint_broker_reachable"): "1x60"},
        severity="page",
    ),
    Case(
        "BrakeOpen",
        fires={loader("onpoint_brake_open"): "0x8 1x60"},
        quiet={loader("onpoint_brake_open"): "0x60"},
        severity="page",
    ),
    Case(
        "LoopLag",
        fires={loader("onpoint_loop_lag_seconds"): "1.5x60"},
        quiet={loader("onpoint_loop_lag_seconds"): "1.5x4 0.2x60"},
    ),
    Case(
        "MemoryFull",
        fires={loader("onpoint_memory_used_ratio"): "0.95x60"},
        quiet={loader("onpoint_memory_used_ratio"): "0.85x60"},
    ),
    Case(
        "PoolExhausted",
        fires={
            loader("onpoint_pool_connections", state="busy"): "10x60",
            loader("onpoint_pool_connections", state="idle"): "0x60",
            loader("onpoint_pool_limit_connections"): "10x60",
        },
        quiet={
            loader("onpoint_pool_connections", state="busy"): "9x60",
            loader("onpoint_pool_connections", state="idle"): "1x60",
            loader("onpoint_pool_limit_connections"): "10x60",
            # A service without a pool.
            'onpoint_pool_limit_connections{service="crawler", instance="crawler:1"}': "0x60",
        },
    ),
    Case(
        "DiskWillFill",
        fires={
            loader("onpoint_scratch_free_bytes"): "4e9-20e6x80",
            loader("onpoint_scratch_bytes"): "10e9x80",
        },
        # A batch takes room and gives it back.
        quiet={
            loader("onpoint_scratch_free_bytes"): "9e9-50e6x40 7e9+50e6x40",
            loader("onpoint_scratch_bytes"): "10e9x80",
        },
        after="20m",
        severity="page",
    ),
    Case(
        "DiskWillFill",
        fires={loader("onpoint_scratch_free_bytes"): "4e8x80", loader("onpoint_scratch_bytes"): "10e9x80"},
        quiet={loader("onpoint_scratch_free_bytes"): "6e8x80", loader("onpoint_scratch_bytes"): "10e9x80"},
        severity="page",
    ),
    Case(
        "ConsumerStalled",
        fires={quality("onpoint_group_stalled_seconds", group="onpoint-loader", topic="t"): "0+15x60"},
        # Batches of three minutes.
        quiet={
            quality(
                "onpoint_group_stalled_seconds", group="onpoint-loader", topic="t"
            ): "0+15x12 0+15x12 0+15x12"
        },
        after="8m",
        severity="page",
    ),
    Case(
        "LagSeconds",
        fires={loader("onpoint_consumer_lag_seconds", topic="t", partition="0"): "0+15x60"},
        quiet={loader("onpoint_consumer_lag_seconds", topic="t", partition="0"): "250x60"},
        after="14m",
    ),
    Case(
        "LagGrowing",
        fires={loader("onpoint_consumer_lag_records", topic="t", partition="0"): "0+10x160"},
        quiet={loader("onpoint_consumer_lag_records", topic="t", partition="0"): "0+50x40 2000-10x120"},
        after="35m",
    ),
    Case(
        "TooLargeConsumerGroupLag",
        fires={
            quality("onpoint_group_lag_records", group="onpoint-loader", topic="t"): "600x80",
            quality("onpoint_group_lag_records", group="onpoint-loader", topic="u"): "600x80",
        },
        # Two replicas of quality tell the same.
        quiet={
            quality("onpoint_group_lag_records", group="onpoint-loader", topic="t"): "600x80",
            'onpoint_group_lag_records{instance="quality:2", group="onpoint-loader", topic="t"}': "600x80",
        },
        after="15m",
    ),
    Case(
        "NoMessageForTooLong",
        fires={quality("onpoint_open_runs"): "2x80", loader(HANDLED, topic="t", outcome="done"): "7x80"},
        # Nothing is handled at night, when no run goes on.
        quiet={quality("onpoint_open_runs"): "0x80", loader(HANDLED, topic="t", outcome="done"): "7x80"},
        after="15m",
        severity="page",
    ),
    Case(
        "NoMessageForTooLong",
        fires={quality("onpoint_open_runs"): "2x80", loader(HANDLED, topic="t", outcome="done"): "7x80"},
        quiet={quality("onpoint_open_runs"): "2x80", loader(HANDLED, topic="t", outcome="done"): "7x20 8x60"},
        after="14m",
        severity="page",
    ),
    Case(
        "RebalanceStorm",
        fires={loader("onpoint_rebalances_total"): "0x4 0+1x140"},
        # All replicas are started anew, one after the other, and each of their consumers.
        quiet={loader("onpoint_rebalances_total"): "0x4 0+2x16 32x120"},
        after="30m",
    ),
    Case(
        "NewDeadLetters",
        # The first one of a process.
        fires={loader("up"): "1x40", loader(DEAD, topic="t", reason="schema"): "_x40 1x20"},
        quiet={loader(DEAD, topic="t", reason="schema"): "3x80"},
        after="14m",
    ),
    Case(
        "NewDeadLetters",
        fires={loader(DEAD, topic="t", reason="schema"): "3x70 4x10"},
        quiet={loader(DEAD, topic="t", reason="schema"): "3x80"},
        after="19m",
    ),
    Case(
        "DeadLetterRatio",
        fires={
            loader(DEAD, topic="t", reason="schema"): "0+1x80",
            loader(HANDLED, topic="t", outcome="done"): "0+50x80",
            loader(HANDLED, topic="t", outcome="dead"): "0+1x80",
        },
        quiet={
            loader(DEAD, topic="t", reason="schema"): "0+1x80",
            loader(HANDLED, topic="t", outcome="done"): "0+500x80",
            loader(HANDLED, topic="t", outcome="dead"): "0+1x80",
        },
        after="19m",
        severity="page",
    ),
    Case(
        "UnderReplicated",
        fires={quality("onpoint_kafka_under_replicated_partitions"): "3x60"},
        # A broker that is started anew.
        quiet={quality("onpoint_kafka_under_replicated_partitions"): "3x8 0x60"},
    ),
    Case(
        "Leaderless",
        fires={quality("onpoint_kafka_leaderless_partitions"): "1x60"},
        quiet={quality("onpoint_kafka_leaderless_partitions"): "0x60"},
        severity="page",
    ),
    Case(
        "KafkaAuthFailures",
        fires={loader("onpoint_kafka_denials_total"): "0x8 1x60"},
        quiet={loader("onpoint_kafka_denials_total"): "0x60"},
        after="5m",
        severity="page",
    ),
    Case(
        "CertExpiry",
        # Time begins at 0 here.
        fires={
            quality("onpoint_certificate_expiry_timestamp_seconds", server="kafka:9092"): f"{13 * 86400}x60"
        },
        quiet={
            quality("onpoint_certificate_expiry_timestamp_seconds", server="kafka:9092"): f"{15 * 86400}x60"
        },
    ),
    Case(
        "RunOverdue",
        fires={quality("onpoint_run_overdue", dataset="posts"): "1x60"},
        quiet={quality("onpoint_run_overdue", dataset="posts"): "0x60"},
    ),
    Case(
        "RunFailed",
        fires={quality("up"): "1x60", quality("onpoint_runs_completed_total", status="failed"): "_x20 1x60"},
        quiet={
            quality("onpoint_runs_completed_total", status="failed"): "4x80",
            quality("onpoint_runs_completed_total", status="succeeded"): "0+1x60",
        },
        after="16m",
    ),
    Case(
        "CheckFailed",
        fires={
            quality("onpoint_checks_failed_total", dataset="posts", severity="error"): "1x20 2x60",
        },
        quiet={quality("onpoint_checks_failed_total", dataset="posts", severity="warn"): "0+1x80"},
        after="16m",
    ),
    Case(
        "ReconcileMismatch",
        fires={quality("onpoint_runs_unbalanced_total"): "0x8 1x60"},
        quiet={quality("onpoint_runs_unbalanced_total"): "0x60"},
        severity="page",
    ),
    Case(
        "OrphanObjects",
        fires={quality("onpoint_swept_objects_total", kind="lake_objects"): "0x8 80x60"},
        # A few after a crash, and what a sweep removes every day.
        quiet={
            quality("onpoint_swept_objects_total", kind="lake_objects"): "0x8 4x60",
            quality("onpoint_swept_objects_total", kind="artifacts"): "0+100x60",
        },
    ),
    Case(
        "BatchLost",
        fires={
            quality("onpoint_oldest_unfinished_batch_age_seconds", stage="loader"): "3700x80",
            quality("onpoint_group_lag_records", group="onpoint-loader", topic="t"): "0x80",
        },
        # It waits its turn.
        quiet={
            quality("onpoint_oldest_unfinished_batch_age_seconds", stage="loader"): "3700x80",
            quality("onpoint_group_lag_records", group="onpoint-loader", topic="t"): "12x80",
        },
        after="18m",
    ),
    Case(
        "LedgerUnknown",
        fires={quality("onpoint_state_measured_timestamp_seconds"): "15x60"},
        quiet={
            quality("onpoint_state_measured_timestamp_seconds"): "0+15x60",
            loader("onpoint_state_measured_timestamp_seconds"): "0x60",
        },
    ),
    Case(
        "TableStale",
        fires={quality("onpoint_health_status", check="freshness"): "2x60"},
        quiet={
            quality("onpoint_health_status", check="freshness"): "0x60",
            quality("onpoint_health_status", check="latency"): "2x60",
        },
    ),
    Case(
        "HealthFailed",
        fires={quality("onpoint_health_status", check="database"): "3x60"},
        quiet={quality("onpoint_health_status", check="database"): "1x60"},
        severity="page",
    ),
    Case(
        "SSRFBlocked",
        fires={
            'up{service="crawler", instance="crawler:1"}': "1x60",
            'onpoint_source_requests_total{service="crawler", source="posts", outcome="forbidden"}': "_x20 1x40",
        },
        quiet={
            'onpoint_source_requests_total{service="crawler", source="posts", outcome="timeout"}': "0+1x60"
        },
    ),
    Case(
        "SlotLag",
        fires={
            capture("onpoint_cdc_slot_kept_bytes"): "6e9x60",
            capture("onpoint_cdc_slot_limit_bytes"): "10e9x60",
        },
        # Without a limit, and in a service that captures nothing.
        quiet={
            capture("onpoint_cdc_slot_kept_bytes"): "6e9x60",
            capture("onpoint_cdc_slot_limit_bytes"): INFINITE,
            loader("onpoint_cdc_slot_kept_bytes"): "0x60",
            loader("onpoint_cdc_slot_limit_bytes"): "0x60",
        },
        severity="page",
    ),
    Case(
        "SlotInactive",
        fires={
            capture("onpoint_cdc_slot_active"): "0x80",
            capture("onpoint_cdc_slot_kept_bytes"): "5e6x80",
        },
        # Nothing is registered yet.
        quiet={
            capture("onpoint_cdc_slot_active"): "0x80",
            capture("onpoint_cdc_slot_kept_bytes"): "0x80",
            loader("onpoint_cdc_slot_active"): "0x80",
        },
        after="15m",
    ),
    Case(
        "SlotLost",
        fires={capture("onpoint_cdc_slot_lost"): "0x8 1x60"},
        # It is registered now.
        quiet={capture("onpoint_cdc_slot_lost"): "0x38 1x2 0x20"},
        severity="page",
    ),
    Case(
        "CaptureStopped",
        fires={capture("onpoint_cdc_stopped_partitions"): "2x60"},
        quiet={capture("onpoint_cdc_stopped_partitions"): "0x60"},
        severity="page",
    ),
    Case(
        "FreshnessBurn",
        # Stale from the first minute on: the windows of an hour and of six tell the same.
        fires={quality("onpoint_health_status", check="freshness"): "2x100"},
        quiet={quality("onpoint_health_status", check="freshness"): "1x100"},
        after="20m",
        severity="page",
        count=2,
    ),
    Case(
        "FreshnessBurn",
        # Two minutes in six hours and more: too little to wake anyone.
        fires={quality("onpoint_health_status", check="freshness"): "0x120 2x40 0x120"},
        quiet={quality("onpoint_health_status", check="freshness"): "0x120 2x1 0x240"},
        after="60m",
    ),
    Case(
        "LatencyBurn",
        fires={loader("onpoint_consumer_lag_seconds", topic="t", partition="0"): "400x100"},
        quiet={loader("onpoint_consumer_lag_seconds", topic="t", partition="0"): "200x100"},
        after="20m",
        severity="page",
        count=2,
    ),
    Case(
        "DeliveryBurn",
        fires={
            loader(HANDLED, topic="t", outcome="done"): "0+50x100",
            loader(HANDLED, topic="t", outcome="dead"): "0+1x100",
        },
        quiet={
            loader(HANDLED, topic="t", outcome="done"): "0+50x100",
            loader(HANDLED, topic="t", outcome="dead"): "0x100",
        },
        after="20m",
        severity="page",
        count=2,
    ),
    Case(
        "DeliveryBurn",
        # Nothing is handled at all: no share of nothing is bad.
        fires={
            loader(HANDLED, topic="t", outcome="done"): "0+5000x100",
            loader(HANDLED, topic="t", outcome="dead"): "0+8x100",
        },
        quiet={loader(HANDLED, topic="t", outcome="done"): "7x100"},
        after="20m",
    ),
)
