"""Rows of campaigns and runs: read and written here alone; used by the rest of the room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from viesti.domain.campaigns.models import (
    Campaign,
    CampaignNotFound,
    Run,
    RunState,
    Trigger,
)
from viesti.domain.campaigns.schedule import Frequency
from viesti.kit.ids import find_id

CAMPAIGN_COLUMNS: LiteralString = (
    "account_id, id, created_at, updated_at, name, description, template, media, trigger,"
    " filters, group_id, frequency, time_zone, cron, starts_at, next_run_at, paused_at,"
    " field_mappings, reporting"
)
_RUN: LiteralString = (
    "SELECT r.account_id, r.id, r.campaign_id, r.due_at, r.state, r.created_at, r.job_id,"
    " r.missed, r.error_code, r.requested, r.counts, r.price_micros, r.invalid, r.ended_at,"
    " r.report_state, COALESCE(j.state, '') FROM campaign_runs r"
    " LEFT JOIN jobs j ON j.account_id = %(account)s AND j.id = r.job_id"
    " WHERE r.account_id = %(account)s"
)


@dataclass(frozen=True, slots=True)
class CampaignPage:
    campaigns: list[Campaign]
    total_count: int


@dataclass(frozen=True, slots=True)
class RunPage:
    runs: list[Run]
    total_count: int


def get_campaign(
    conn: psycopg.Connection, account_id: UUID, campaign_id: str, *, lock: bool = False
) -> Campaign:
    """One campaign of the account. Raises NotFound (CAMP-001)."""
    found = find_id(campaign_id)
    row = None
    if found is not None:
        row = conn.execute(
            f"SELECT {CAMPAIGN_COLUMNS} FROM campaigns"
            " WHERE account_id = %s AND id = %s AND deleted_at IS NULL"
            + (" FOR UPDATE" if lock else ""),
            (account_id, found),
        ).fetchone()
    if row is None:
        raise CampaignNotFound("There is no such campaign.")
    return read_campaign(row)


def list_campaigns(
    conn: psycopg.Connection, account_id: UUID, name: str, offset: int, limit: int
) -> CampaignPage:
    """The account's campaigns whose name holds ``name`` in any case, newest first."""
    escaped = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    params = {"account": account_id, "name": f"%{escaped}%", "offset": offset, "limit": limit}
    where: LiteralString = (
        "WHERE account_id = %(account)s AND deleted_at IS NULL AND name ILIKE %(name)s"
    )
    count = conn.execute(f"SELECT count(*) FROM campaigns {where}", params).fetchone()
    total = int(count[0]) if count else 0
    rows = conn.execute(
        f"SELECT {CAMPAIGN_COLUMNS} FROM campaigns {where} ORDER BY id DESC"
        " LIMIT %(limit)s OFFSET %(offset)s",
        params | {"offset": min(offset, total)},
    ).fetchall()
    return CampaignPage([read_campaign(row) for row in rows], total)


def insert_campaign(
    conn: psycopg.Connection, campaign: Campaign, credential_id: UUID | None
) -> None:
    conn.execute(
        f"INSERT INTO campaigns ({CAMPAIGN_COLUMNS}, credential_id)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (*_values(campaign), credential_id),
    )


def update_campaign_row(conn: psycopg.Connection, campaign: Campaign) -> None:
    conn.execute(
        f"UPDATE campaigns SET ({CAMPAIGN_COLUMNS}) = (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
        " %s, %s, %s, %s, %s, %s) WHERE account_id = %s AND id = %s",
        (*_values(campaign), campaign.account_id, campaign.id),
    )


def find_last_runs(
    conn: psycopg.Connection, account_id: UUID, campaign_ids: Iterable[UUID]
) -> dict[UUID, Run]:
    """The latest run that has a job, by campaign."""
    # One step along the index for each: a campaign may have a run for every minute of a year.
    rows = conn.execute(
        "SELECT r.id FROM unnest(%(ids)s::uuid[]) AS c(id) CROSS JOIN LATERAL ("
        "  SELECT id FROM campaign_runs WHERE account_id = %(account)s AND campaign_id = c.id"
        "  AND job_id IS NOT NULL ORDER BY due_at DESC LIMIT 1) r",
        {"account": account_id, "ids": list(campaign_ids)},
    ).fetchall()
    return {run.campaign_id: run for run in load_runs(conn, account_id, [row[0] for row in rows])}


def list_runs(
    conn: psycopg.Connection, account_id: UUID, campaign_id: UUID, offset: int, limit: int
) -> RunPage:
    """The runs of a campaign, latest first; missed ones among them."""
    count = conn.execute(
        "SELECT count(*) FROM campaign_runs WHERE account_id = %s AND campaign_id = %s",
        (account_id, campaign_id),
    ).fetchone()
    total = int(count[0]) if count else 0
    rows = conn.execute(
        _RUN + " AND r.campaign_id = %(campaign)s ORDER BY r.due_at DESC"
        " LIMIT %(limit)s OFFSET %(offset)s",
        {
            "account": account_id,
            "campaign": campaign_id,
            "offset": min(offset, total),
            "limit": limit,
        },
    ).fetchall()
    return RunPage([_run(row) for row in rows], total)


def find_list_names(
    conn: psycopg.Connection, account_id: UUID, campaigns: Iterable[Campaign]
) -> dict[str, str]:
    """The names of the lists that the campaigns are for, by id as it was written."""
    wanted = {campaign.filters.get("list"): None for campaign in campaigns}
    ids = {written: found for written in wanted if (found := find_id(written)) is not None}
    if not ids:
        return {}
    rows = conn.execute(
        "SELECT id, name FROM lists WHERE account_id = %s AND id = ANY(%s)",
        (account_id, list(ids.values())),
    ).fetchall()
    names: dict[UUID, str] = dict(rows)
    return {str(written): names[found] for written, found in ids.items() if found in names}


def load_runs(conn: psycopg.Connection, account_id: UUID, ids: Sequence[UUID]) -> list[Run]:
    """The runs of the account among ``ids``."""
    if not ids:
        return []
    rows = conn.execute(
        _RUN + " AND r.id = ANY(%(ids)s)", {"account": account_id, "ids": list(ids)}
    ).fetchall()
    return [_run(row) for row in rows]


def find_active_runs(conn: psycopg.Connection, account_id: UUID, campaign_id: UUID) -> list[Run]:
    """The runs of a campaign that have not ended, oldest first."""
    rows = conn.execute(
        _RUN + " AND r.campaign_id = %(campaign)s AND r.state IN ('reading', 'running')"
        " AND COALESCE(j.state, '') NOT IN ('canceling', 'canceled')"
        " ORDER BY r.due_at",
        {"account": account_id, "campaign": campaign_id},
    ).fetchall()
    return [_run(row) for row in rows]


def insert_run(
    conn: psycopg.Connection,
    run: Run,
    *,
    look_at: datetime | None,
    file: dict[str, Any] | None = None,
) -> bool:
    """Store ``run``; False if the campaign has one for this moment already."""
    done = conn.execute(
        "INSERT INTO campaign_runs (account_id, id, campaign_id, due_at, state, missed, job_id,"
        " error_code, requested, invalid, file, look_at, created_at, ended_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (account_id, campaign_id, due_at) DO NOTHING",
        (
            run.account_id,
            run.id,
            run.campaign_id,
            run.due_at,
            run.state.value,
            run.missed,
            run.job_id,
            run.error_code,
            run.requested,
            Jsonb(list(run.invalid)),
            Jsonb(file) if file is not None else None,
            look_at,
            run.created_at,
            run.ended_at,
        ),
    )
    return done.rowcount == 1


def _values(campaign: Campaign) -> tuple[Any, ...]:
    return (
        campaign.account_id,
        campaign.id,
        campaign.created_at,
        campaign.updated_at,
        campaign.name,
        campaign.description,
        campaign.template,
        Jsonb(list(campaign.media)),
        campaign.trigger.value,
        Jsonb(dict(campaign.filters)),
        campaign.group_id,
        campaign.frequency.value if campaign.frequency else "",
        campaign.time_zone,
        campaign.cron,
        campaign.starts_at,
        campaign.next_run_at,
        campaign.paused_at,
        Jsonb(list(campaign.field_mappings)),
        Jsonb(dict(campaign.reporting)),
    )


def read_campaign(row: Sequence[Any]) -> Campaign:
    """The campaign of a row of ``CAMPAIGN_COLUMNS``."""
    values: list[Any] = list(row)
    values[8] = Trigger(row[8])
    values[11] = Frequency(row[11]) if row[11] else None
    return Campaign(*values)


def _run(row: Sequence[Any]) -> Run:
    values: list[Any] = list(row)
    values[4] = RunState(row[4])
    return Run(*values)
