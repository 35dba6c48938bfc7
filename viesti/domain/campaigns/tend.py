"""Follows runs until they are settled: counts their texts, sees their end, orders the report.

Called by ``work``. Lists of campaigns show what was counted last, so that a
page never reads a million texts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from viesti.domain.campaigns.models import ACTIVE, RunState
from viesti.domain.messages.jobs import Job, job_counts

MOST = 1_000
# A running one is counted this often; one with many texts, whose count takes a while, less so.
OFTEN = timedelta(seconds=2)
SELDOM = timedelta(seconds=15)
MANY = 50_000
# What a request counts itself: a run of so many texts, so many runs.
CHEAP = 20_000
SHOWN_LIVE = 3
PAUSED = timedelta(seconds=30)
# Receipts come in for days after the last text left.
SETTLED_AFTER = timedelta(days=7)
_LEAST, _MOST = timedelta(seconds=5), timedelta(hours=12)
_ENDS = {"complete": RunState.COMPLETE, "canceled": RunState.CANCELED}


def find_unsettled(conn: psycopg.Connection, now: datetime) -> list[tuple[UUID, UUID]]:
    """(account, run) of every run that is to be looked at now."""
    return conn.execute(
        "SELECT account_id, id FROM campaign_runs WHERE look_at <= %s AND state <> 'reading'"
        " ORDER BY look_at LIMIT %s",
        (now, MOST),
    ).fetchall()


def tend(conn: psycopg.Connection, account_id: UUID, run_id: UUID, now: datetime) -> bool:
    """Look at the run if it is time; False if it is not, or another is at it."""
    row = conn.execute(
        "SELECT account_id, id, campaign_id, state, job_id, ended_at FROM campaign_runs"
        " WHERE account_id = %s AND id = %s AND look_at <= %s FOR UPDATE SKIP LOCKED",
        (account_id, run_id, now),
    ).fetchone()
    if row is None:
        return False
    _look(conn, *row, now=now)
    return True


def count_now(conn: psycopg.Connection, account_id: UUID, campaign_id: UUID, now: datetime) -> None:
    """Bring the latest runs of a campaign up to date for who looks at it, where that is cheap."""
    rows = conn.execute(
        "SELECT r.account_id, r.id, r.campaign_id, r.state, r.job_id, r.ended_at"
        " FROM campaign_runs r JOIN jobs j ON j.account_id = r.account_id AND j.id = r.job_id"
        " WHERE r.account_id = %(account)s AND j.account_id = %(account)s AND r.id IN ("
        "  SELECT id FROM campaign_runs WHERE account_id = %(account)s"
        "  AND campaign_id = %(campaign)s AND look_at IS NOT NULL"
        "  ORDER BY due_at DESC LIMIT %(limit)s)"
        " AND j.requested <= %(most)s FOR UPDATE OF r SKIP LOCKED",
        {
            "account": account_id,
            "campaign": campaign_id,
            "most": CHEAP,
            "limit": SHOWN_LIVE,
        },
    ).fetchall()
    for row in rows:
        _look(conn, *row, now=now)


def recount(conn: psycopg.Connection, account_id: UUID, run_id: UUID, now: datetime) -> None:
    """Bring one run up to date, however many texts it has."""
    row = conn.execute(
        "SELECT account_id, id, campaign_id, state, job_id, ended_at FROM campaign_runs"
        " WHERE account_id = %s AND id = %s AND job_id IS NOT NULL FOR UPDATE",
        (account_id, run_id),
    ).fetchone()
    if row is not None:
        _look(conn, *row, now=now)


def _look(
    conn: psycopg.Connection,
    account_id: UUID,
    run_id: UUID,
    campaign_id: UUID,
    word: str,
    job_id: UUID,
    ended_at: datetime | None,
    *,
    now: datetime,
) -> None:
    job = job_counts(conn, account_id, job_id)
    state = RunState(word)
    ends = state in ACTIVE and (
        # A file of which rows are left is not at its end, though all its texts may have left.
        job.status == "canceled" or (job.status == "complete" and state is RunState.RUNNING)
    )
    if ends:
        state, ended_at = _ENDS[job.status], now
        _order_report(conn, account_id, run_id, campaign_id, now)
    conn.execute(
        "UPDATE campaign_runs SET state = %s, requested = %s, counts = %s, price_micros = %s,"
        " counted_at = %s, look_at = %s, ended_at = %s WHERE account_id = %s AND id = %s",
        (
            state.value,
            job.requested,
            Jsonb(dict(job.by_status)),
            job.price_micros,
            now,
            _next_look(job, ended_at, now),
            ended_at,
            account_id,
            run_id,
        ),
    )


def _next_look(job: Job, ended_at: datetime | None, now: datetime) -> datetime | None:
    if ended_at is not None:
        if now - ended_at >= SETTLED_AFTER and not job.waiting:
            return None
        return now + min(max((now - ended_at) / 2, _LEAST), _MOST)
    if job.status == "scheduled" and job.due_at is not None:
        return job.due_at
    if job.status == "paused":
        return now + PAUSED
    return now + (SELDOM if job.requested > MANY else OFTEN)


def _order_report(
    conn: psycopg.Connection, account_id: UUID, run_id: UUID, campaign_id: UUID, now: datetime
) -> None:
    row = conn.execute(
        "SELECT reporting FROM campaigns WHERE account_id = %s AND id = %s",
        (account_id, campaign_id),
    ).fetchone()
    reporting: dict[str, Any] = row[0] if row else {}
    if reporting:
        conn.execute(
            "UPDATE campaign_runs SET report_state = 'due', report_at = %s"
            " WHERE account_id = %s AND id = %s",
            (now + timedelta(seconds=reporting.get("delay_s", 0)), account_id, run_id),
        )
