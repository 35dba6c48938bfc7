"""Starts what is due, exactly once; called by ``work``.

The campaign's row is locked, its run for the moment is unique, and both are written in one
transaction with the job and the next time: however many processes look, and whichever is killed,
a moment has one run.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import structlog

from viesti.domain.campaigns.models import Campaign, RunState
from viesti.domain.campaigns.runs import new_run, start
from viesti.domain.campaigns.schedule import catch_up
from viesti.domain.campaigns.store import (
    CAMPAIGN_COLUMNS,
    insert_run,
    read_campaign,
    update_campaign_row,
)
from viesti.domain.messages.terms import get_terms
from viesti.kit.errors import ViestiError

log = structlog.get_logger()

MOST = 1_000


def find_due(conn: psycopg.Connection, now: datetime) -> list[tuple[UUID, UUID]]:
    """(account, campaign) of every campaign whose time has come, the longest overdue first."""
    return conn.execute(
        "SELECT c.account_id, c.id FROM campaigns c JOIN accounts a ON a.id = c.account_id"
        " WHERE c.next_run_at <= %s AND c.paused_at IS NULL AND c.deleted_at IS NULL"
        " AND a.disabled_at IS NULL ORDER BY c.next_run_at LIMIT %s",
        (now, MOST),
    ).fetchall()


def launch(
    conn: psycopg.Connection, account_id: UUID, campaign_id: UUID, now: datetime, late: timedelta
) -> bool:
    """Start the campaign's run if it is due; False if it is not, or another is at it.

    A run is made up for if it is less than ``late``; else it is recorded as missed
    (docs/decisions, 0009).
    """
    row = conn.execute(
        f"SELECT {CAMPAIGN_COLUMNS}, credential_id FROM campaigns WHERE account_id = %s"
        " AND id = %s AND next_run_at <= %s AND paused_at IS NULL AND deleted_at IS NULL"
        " FOR UPDATE SKIP LOCKED",
        (account_id, campaign_id, now),
    ).fetchone()
    if row is None:
        return False
    zone = get_terms(conn, account_id).time_zone
    _launch(conn, read_campaign(row[:-1]), zone, row[-1], now, late)
    return True


def _launch(
    conn: psycopg.Connection,
    campaign: Campaign,
    account_zone: str,
    credential_id: UUID | None,
    now: datetime,
    late: timedelta,
) -> None:
    due = campaign.next_run_at
    assert due is not None
    caught = catch_up(campaign.schedule(account_zone), due, now, late)
    if caught.fire is None:
        run = new_run(campaign, due, RunState.MISSED, now, missed=caught.missed, ended_at=now)
        insert_run(conn, run, look_at=None)
        log.warning("campaign_missed", campaign_id=str(campaign.id), times=caught.missed)
    else:
        _fire(conn, campaign, caught.fire, caught.missed, credential_id, now)
    update_campaign_row(conn, replace(campaign, next_run_at=caught.next))


def _fire(
    conn: psycopg.Connection,
    campaign: Campaign,
    due: datetime,
    missed: int,
    credential_id: UUID | None,
    now: datetime,
) -> None:
    try:
        with conn.transaction():
            run = start(conn, campaign, due, now, credential_id=credential_id, missed=missed)
    except ViestiError as error:
        # Shown on the campaign; its next time may find it put right.
        failed = new_run(campaign, due, RunState.FAILED, now, missed=missed, ended_at=now)
        insert_run(conn, replace(failed, error_code=error.code), look_at=None)
        log.warning("campaign_failed", campaign_id=str(campaign.id), code=error.code)
        return
    if run is not None:
        log.info("campaign_started", campaign_id=str(campaign.id), job_id=str(run.job_id))
