"""What is on its way to webhooks, and which endpoints do not take it; read by ``status``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from viesti.db.placement import placement
from viesti.monitoring.models import FailingWebhook, Webhooks, oldest

# Deliveries that one look reads at most. The table holds what is not taken yet and the dead.
MOST_DELIVERIES = 50_000
FAILING_SHOWN = 10

_DELIVERIES = """
SELECT d.account_id, d.webhook_id, count(*), count(*) FILTER (WHERE d.state = 'due'),
    count(*) FILTER (WHERE d.state = 'due' AND d.attempts > 0),
    max(d.attempts) FILTER (WHERE d.state = 'due'),
    min(d.created_at) FILTER (WHERE d.state = 'due')
FROM (SELECT account_id, webhook_id, state, attempts, created_at FROM webhook_deliveries
      WHERE account_id = ANY(%(accounts)s) LIMIT %(most)s) d
GROUP BY d.account_id, d.webhook_id
"""


def read_webhooks(conn: psycopg.Connection, accounts: Sequence[UUID], now: datetime) -> Webhooks:
    """Deliveries of all accounts, and the endpoints that fail."""
    rows: list[tuple[Any, ...]] = []
    endpoints = disabled = 0
    is_exact = True
    for group in placement(accounts):
        found = conn.execute(
            _DELIVERIES, {"accounts": list(group), "most": MOST_DELIVERIES + 1}
        ).fetchall()
        is_exact &= sum(row[2] for row in found) <= MOST_DELIVERIES
        rows += found
        counted = conn.execute(
            "SELECT count(*), count(disabled_at) FROM webhooks WHERE account_id = ANY(%s)",
            (list(group),),
        ).fetchone()
        assert counted is not None
        endpoints += counted[0]
        disabled += counted[1]
    failing: list[FailingWebhook] = []
    due = retrying = dead = 0
    oldest_s: float | None = None
    for account_id, webhook_id, total, its_due, its_retrying, attempts, since in rows:
        due += its_due
        retrying += its_retrying
        dead += total - its_due
        if since is not None:
            oldest_s = oldest(oldest_s, max(0.0, (now - since).total_seconds()))
        if its_retrying:
            failing.append(FailingWebhook(webhook_id, account_id, its_due, attempts))
    failing.sort(key=lambda one: (-one.due, one.id))
    return Webhooks(
        endpoints,
        disabled,
        failing[:FAILING_SHOWN],
        len(failing),
        due,
        retrying,
        dead,
        oldest_s,
        is_exact,
    )
