"""The reports of runs that ended: which are due, what they say, what became of them.

``webhooks/reports`` takes them, posts them outside any transaction, and settles them here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from viesti.domain.campaigns.store import load_runs
from viesti.domain.campaigns.tend import recount
from viesti.domain.campaigns.views import run_view

EVENT = "campaign-report"
# What ``PlatformKey`` derives the secret from that an account's reports are signed with.
SECRET_PURPOSE = "campaign-report:"  # noqa: S105 (a purpose, not a secret)
AT_ONCE = 10
# Another process tries a report again if the one that took it says nothing for so long.
LEASE = timedelta(minutes=2)
# After the first attempt; then it has failed, and says so on its run.
WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 300))


@dataclass(frozen=True, slots=True)
class Report:
    """One attempt; ``attempts`` counts it in."""

    account_id: UUID
    run_id: UUID
    url: str
    body: str
    attempts: int


def secret_purpose(account_id: UUID) -> str:
    return f"{SECRET_PURPOSE}{account_id}"


def claim_reports(conn: psycopg.Connection, now: datetime) -> list[Report]:
    """Take reports that are due; each is this caller's until ``LEASE`` has passed."""
    due = conn.execute(
        "SELECT account_id, id FROM campaign_runs WHERE report_at <= %s ORDER BY report_at LIMIT %s",
        (now, AT_ONCE),
    ).fetchall()
    reports = [_claim(conn, account_id, run_id, now) for account_id, run_id in due]
    return [report for report in reports if report is not None]


def _claim(
    conn: psycopg.Connection, account_id: UUID, run_id: UUID, now: datetime
) -> Report | None:
    row = conn.execute(
        "SELECT c.id, c.name, c.reporting, r.report_attempts FROM campaign_runs r"
        " LEFT JOIN campaigns c ON c.account_id = %(account)s AND c.id = r.campaign_id"
        " WHERE r.account_id = %(account)s AND r.id = %(run)s"
        " AND r.report_at <= %(now)s FOR UPDATE OF r SKIP LOCKED",
        {"account": account_id, "run": run_id, "now": now},
    ).fetchone()
    if row is None:
        return None
    campaign_id, name, reporting, attempts = row
    url: str = reporting.get("destination", "") if reporting else ""
    if not url:  # the campaign is gone, or wants no report any more
        _settle(conn, account_id, run_id, "", None)
        return None
    conn.execute(
        "UPDATE campaign_runs SET report_at = %s, report_attempts = %s"
        " WHERE account_id = %s AND id = %s",
        (now + LEASE, attempts + 1, account_id, run_id),
    )
    recount(conn, account_id, run_id, now)
    (run,) = load_runs(conn, account_id, [run_id])
    payload: dict[str, Any] = {
        "accountId": str(account_id),
        "eventType": EVENT,
        "payload": {
            "campaign": {"id": str(campaign_id), "name": name},
            "run": {k: v for k, v in run_view(run).items() if k != "report"},
        },
    }
    body = msgspec.json.encode(payload).decode()
    return Report(account_id, run_id, url, body, attempts + 1)


def settle_report(conn: psycopg.Connection, report: Report, accepted: bool, now: datetime) -> None:
    """Note what became of an attempt: sent, to be tried again, or failed for good."""
    if accepted:
        _settle(conn, report.account_id, report.run_id, "sent", None)
    elif report.attempts <= len(WAITS):
        _settle(conn, report.account_id, report.run_id, "due", now + WAITS[report.attempts - 1])
    else:
        _settle(conn, report.account_id, report.run_id, "failed", None)


def _settle(
    conn: psycopg.Connection, account_id: UUID, run_id: UUID, state: str, at: datetime | None
) -> None:
    conn.execute(
        "UPDATE campaign_runs SET report_state = %s, report_at = %s"
        " WHERE account_id = %s AND id = %s",
        (state, at, account_id, run_id),
    )
