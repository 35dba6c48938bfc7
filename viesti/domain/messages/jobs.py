"""What became of a sending call; called by the API, the hub and ``viesti jobs``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from viesti.db.placement import placement
from viesti.domain.contacts.views import moment_view
from viesti.domain.messages.states import Status
from viesti.domain.messages.views import price_view
from viesti.kit.errors import NotFound
from viesti.kit.ids import find_id

JOB_NOT_FOUND = "JOB-001"
_WAITING = (Status.SCHEDULED, Status.SUSPENDED, Status.QUEUED, Status.HELD)
_FAILED = (Status.ERROR, Status.INVALID, Status.CANCELED)


@dataclass(frozen=True, slots=True)
class Job:
    """A sending call and how many of its texts are in which state now."""

    id: UUID
    template: str
    requested: int
    valid: int
    invalid: int
    price_micros: int
    created_at: datetime
    by_status: Mapping[str, int]


def get_job(conn: psycopg.Connection, account_id: UUID, job_id: str) -> Job:
    """One sending call of the account. Raises NotFound (JOB-001)."""
    found = find_id(job_id)
    row = (
        conn.execute(
            "SELECT template, requested, valid, invalid, price_micros, created_at,"
            " first_message_id, last_message_id FROM jobs WHERE account_id = %s AND id = %s",
            (account_id, found),
        ).fetchone()
        if found
        else None
    )
    if row is None or found is None:
        raise NotFound("There is no such job.", JOB_NOT_FOUND)
    counts = conn.execute(
        "SELECT status, count(*) FROM messages WHERE account_id = %s"
        " AND id BETWEEN %s AND %s AND job_id = %s GROUP BY status",
        (account_id, row[6], row[7], found),
    ).fetchall()
    return Job(found, *row[:6], by_status=dict(counts))


def find_account_of(conn: psycopg.Connection, job_id: UUID) -> UUID | None:
    """Whose sending call it is; for operators, who see every account."""
    accounts = [row[0] for row in conn.execute("SELECT id FROM accounts")]
    for group in placement(accounts):
        row = conn.execute(
            "SELECT account_id FROM jobs WHERE account_id = ANY(%s) AND id = %s",
            (list(group), job_id),
        ).fetchone()
        if row is not None:
            return row[0]
    return None


def job_view(job: Job) -> dict[str, Any]:
    """The fields of product decisions, "jobs"; ``complete`` once no text is on its way."""
    waiting = sum(job.by_status.get(status.value, 0) for status in _WAITING)
    return {
        "id": str(job.id),
        "status": "running" if waiting else "complete",
        "template": job.template,
        "requested": job.requested,
        "valid": job.valid,
        "invalid": job.invalid,
        "queued": waiting,
        "sent": job.by_status.get(Status.SENT.value, 0),
        "delivered": job.by_status.get(Status.DELIVERED.value, 0),
        "failed": sum(job.by_status.get(status.value, 0) for status in _FAILED),
        "price": price_view(job.price_micros),
        "created": moment_view(job.created_at),
    }
