"""Nothing grows without bound: the jobs that delete what is past its time (design, invariant 11).

Each piece deletes at most ``AT_ONCE`` rows per placement group, so that no transaction is long.
Statements name the accounts, for that is how a distributed engine finds the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, LiteralString

import psycopg
import structlog
from psycopg import sql

from viesti.db.partitions import count_strays, ensure_partitions
from viesti.db.placement import placement
from viesti.db.traffic import forget_stale_traffic
from viesti.housekeeping.schedule import Job, periodic
from viesti.kit.config import Settings
from viesti.kit.ids import bound_at

log = structlog.get_logger()

AT_ONCE = 5000
MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86400.0

# The duplicate guard looks back 30 minutes (product.md section 5, MSG-024).
RECENT_TEXTS = timedelta(minutes=30)
# A redelivered PDU comes within 10 minutes (design, section 2); kept longer for the log.
INBOUND_SEEN = timedelta(hours=1)
# So long a yes is an answer (domain/lists/consent.py).
LIST_PROMPTS = timedelta(hours=24)
# A delivery that was not tried to the end is given up after this (webhooks/retry.py).
DELIVERY_MAX_AGE = timedelta(hours=96)
AUTH_FAILURES = timedelta(days=1)
# Bounds of our own; as long as the audit log (design, invariant 11).
CAMPAIGN_RUN = timedelta(days=365)
DELETED_CAMPAIGN = timedelta(days=30)
# Long enough for any bucket to be full again, which is the same as none.
RATE_BUCKETS = timedelta(days=1)
# Beats come every two seconds (db/heartbeat.py).
SILENT_PROCESS = timedelta(minutes=5)


def retention_jobs(settings: Settings) -> list[Job]:
    """The jobs of every installation, with its own retention times."""
    events = timedelta(days=settings.retention_events_days)
    receipts = timedelta(days=settings.retention_receipts_days)
    keys = timedelta(hours=settings.retention_idempotency_hours)
    return [
        periodic("partitions", DAY_S, keep_partitions),
        periodic(
            "old events",
            HOUR_S,
            lambda conn, now: _purge(
                conn, "events", "id", "t.id < %(bound)s", {"bound": bound_at(now - events)}
            ),
        ),
        periodic(
            "old webhook attempts",
            HOUR_S,
            lambda conn, now: _purge(
                conn,
                "webhook_attempts",
                "id",
                "t.id < %(bound)s",
                {"bound": bound_at(now - events)},
            ),
        ),
        periodic("stale webhook deliveries", MINUTE_S, give_up_deliveries),
        periodic("deliveries without webhook", 5 * MINUTE_S, drop_orphans),
        periodic(
            "old dead deliveries",
            HOUR_S,
            lambda conn, now: _purge(
                conn,
                "webhook_deliveries",
                "id",
                "t.state = 'dead' AND t.created_at < %(before)s",
                {"before": now - events},
            ),
        ),
        periodic(
            "idempotency keys",
            10 * MINUTE_S,
            lambda conn, now: _purge(
                conn,
                "idempotency_keys",
                "credential_id, operation, key",
                "t.created_at < %(before)s",
                {"before": now - keys},
            ),
        ),
        periodic(
            "recent texts",
            5 * MINUTE_S,
            lambda conn, now: _purge(
                conn,
                "recent_texts",
                "mobile, text_hash",
                "t.sent_at < %(before)s",
                {"before": now - RECENT_TEXTS},
            ),
        ),
        periodic(
            "inbound PDUs seen",
            10 * MINUTE_S,
            lambda conn, now: _purge(
                conn,
                "inbound_seen",
                "id",
                "t.received_at < %(before)s",
                {"before": now - INBOUND_SEEN},
            ),
        ),
        periodic(
            "list prompts",
            HOUR_S,
            lambda conn, now: _purge(
                conn,
                "list_prompts",
                "contact_id, list_id",
                "t.asked_at < %(before)s",
                {"before": now - LIST_PROMPTS},
            ),
        ),
        periodic(
            "unmatched receipts",
            DAY_S,
            lambda conn, now: _purge(
                conn,
                "message_segments",
                "carrier_id, carrier_message_id",
                "t.message_id IS NULL AND t.created_at < %(before)s",
                {"before": now - receipts},
            ),
        ),
        periodic(
            "old imports",
            HOUR_S,
            lambda conn, now: _purge(
                conn, "imports", "id", "t.ended_at < %(before)s", {"before": now - events}
            ),
        ),
        periodic("refused rows without import", HOUR_S, drop_import_errors),
        periodic("old campaign runs", HOUR_S, forget_campaigns),
        periodic("failed logins", HOUR_S, forget_auth_failures),
        periodic("full rate buckets", HOUR_S, forget_rate_buckets),
        periodic("silent processes", MINUTE_S, forget_processes),
    ]


def keep_partitions(conn: psycopg.Connection, now: datetime) -> bool:
    """Make the months ahead; a row outside every month raises an alarm in the log."""
    made = ensure_partitions(conn, now)
    if made:
        log.info("partitions_made", partitions=made)
    strays = count_strays(conn)
    if strays:
        log.error("rows_outside_partitions", rows=strays)
    return False


def give_up_deliveries(conn: psycopg.Connection, now: datetime) -> bool:
    """Keep as dead what is too old, and what waits for a webhook that was disabled."""
    more = False
    for members in placement(_accounts(conn)):
        done = conn.execute(
            "UPDATE webhook_deliveries SET state = 'dead', claimed_by = NULL"
            " WHERE account_id = ANY(%(accounts)s) AND (account_id, id) IN ("
            " SELECT d.account_id, d.id FROM webhook_deliveries d"
            " JOIN webhooks w ON w.account_id = d.account_id AND w.id = d.webhook_id"
            " WHERE d.account_id = ANY(%(accounts)s) AND w.account_id = ANY(%(accounts)s)"
            " AND d.state = 'due' AND (d.created_at < %(before)s OR w.disabled_at IS NOT NULL)"
            " AND d.not_before < %(now)s LIMIT %(limit)s FOR UPDATE OF d SKIP LOCKED)",
            {
                "accounts": list(members),
                "before": now - DELIVERY_MAX_AGE,
                "now": now,
                "limit": AT_ONCE,
            },
        )
        more |= done.rowcount >= AT_ONCE
    return more


def drop_orphans(conn: psycopg.Connection, _now: datetime) -> bool:
    """Delete deliveries whose webhook was removed."""
    return _purge(
        conn,
        "webhook_deliveries",
        "id",
        "NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.account_id = t.account_id"
        " AND w.id = t.webhook_id AND w.account_id = ANY(%(accounts)s))",
        {},
    )


def drop_import_errors(conn: psycopg.Connection, _now: datetime) -> bool:
    """Delete what was kept of imports that are gone."""
    return _purge(
        conn,
        "import_errors",
        "import_id, row",
        "NOT EXISTS (SELECT 1 FROM imports i WHERE i.account_id = t.account_id"
        " AND i.id = t.import_id AND i.account_id = ANY(%(accounts)s))",
        {},
    )


def forget_campaigns(conn: psycopg.Connection, now: datetime) -> bool:
    """Delete campaigns some time after their deletion, then runs that are settled and old.

    A deleted campaign's runs go with it; their texts and jobs stay for the books.
    """
    more = _purge(
        conn, "campaigns", "id", "t.deleted_at < %(before)s", {"before": now - DELETED_CAMPAIGN}
    )
    return more | _purge(
        conn,
        "campaign_runs",
        "id",
        "t.look_at IS NULL AND t.report_at IS NULL AND (t.created_at < %(before)s"
        " OR NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.account_id = ANY(%(accounts)s)"
        "  AND c.account_id = t.account_id AND c.id = t.campaign_id))",
        {"before": now - CAMPAIGN_RUN},
    )


def forget_auth_failures(conn: psycopg.Connection, now: datetime) -> bool:
    conn.execute("DELETE FROM auth_failures WHERE window_started_at < %s", (now - AUTH_FAILURES,))
    return False


def forget_rate_buckets(conn: psycopg.Connection, now: datetime) -> bool:
    conn.execute("DELETE FROM rate_buckets WHERE filled_at < %s", (now - RATE_BUCKETS,))
    return False


def forget_processes(conn: psycopg.Connection, now: datetime) -> bool:
    conn.execute("DELETE FROM processes WHERE seen_at < %s", (now - SILENT_PROCESS,))
    forget_stale_traffic(conn, now - SILENT_PROCESS)
    return False


def _accounts(conn: psycopg.Connection) -> list[Any]:
    return [row[0] for row in conn.execute("SELECT id FROM accounts")]


def _purge(
    conn: psycopg.Connection,
    table: LiteralString,
    key: LiteralString,
    condition: LiteralString,
    params: Mapping[str, Any],
) -> bool:
    """Delete rows ``t`` of a tenant table that meet ``condition``; whether more may be left.

    ``key`` is the primary key without the account. Rows that are being worked on are left for
    the next time.
    """
    statement = sql.SQL(
        "DELETE FROM {table} WHERE account_id = ANY(%(accounts)s) AND (account_id, {key}) IN ("
        "SELECT t.account_id, {of_t} FROM {table} t WHERE t.account_id = ANY(%(accounts)s)"
        " AND {condition} LIMIT %(limit)s FOR UPDATE SKIP LOCKED)"
    ).format(
        table=sql.Identifier(table),
        key=sql.SQL(key),
        of_t=sql.SQL(", ").join(sql.Identifier("t", column) for column in key.split(", ")),
        condition=sql.SQL(condition),
    )
    more = False
    for members in placement(_accounts(conn)):
        done = conn.execute(statement, {**params, "accounts": list(members), "limit": AT_ONCE})
        more |= done.rowcount >= AT_ONCE
    return more
