"""What became of a sending call; called by the API, the hub, campaigns and ``viesti jobs``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from viesti.db.placement import placement
from viesti.domain.contacts.views import moment_view
from viesti.domain.messages.states import Status
from viesti.domain.messages.views import price_view
from viesti.kit.clock import iso
from viesti.kit.errors import NotFound
from viesti.kit.ids import find_id

JOB_NOT_FOUND = "JOB-001"
_WAITING = (Status.SCHEDULED, Status.SUSPENDED, Status.QUEUED, Status.HELD)
_FAILED = (Status.ERROR, Status.INVALID, Status.CANCELED)
# A list says of each job whether any of its texts still waits. Of what waits where a job's texts
# lie so many are looked at; beyond that the answer is yes.
_LOOKED_AT = 20_000

_COLUMNS = """id, template, requested, valid, invalid, price_micros, created_at, state, expanded,
    due_at, campaign_run_id"""


@dataclass(frozen=True, slots=True)
class Job:
    """A sending call or campaign run, and how many of its texts are in which state now."""

    id: UUID
    template: str
    requested: int  # so far, while it is not ``expanded``
    valid: int
    invalid: int
    price_micros: int
    created_at: datetime
    state: str = "open"  # pausing, paused, resuming, canceling, canceled
    expanded: bool = True  # all recipients are known
    due_at: datetime | None = None
    campaign_run_id: UUID | None = None
    by_status: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def waiting(self) -> int:
        """Texts without an outcome yet."""
        return sum(self.by_status.get(status.value, 0) for status in _WAITING)

    @property
    def failed(self) -> int:
        return sum(self.by_status.get(status.value, 0) for status in _FAILED)

    @property
    def submitted(self) -> int:
        """Texts that were accepted and did not fail: on their way, or there."""
        return sum(self.by_status.values()) - self.failed

    @property
    def status(self) -> str:
        """``scheduled, running, paused, canceled, complete``."""
        return _status(self, self.waiting > 0)


@dataclass(frozen=True, slots=True)
class JobPage:
    """``waits`` names the jobs that have texts without an outcome; counts are not made."""

    jobs: list[Job]
    waits: set[UUID]
    total_count: int


def get_job(conn: psycopg.Connection, account_id: UUID, job_id: str) -> Job:
    """One sending call of the account. Raises NotFound (JOB-001)."""
    return job_counts(conn, account_id, read_job_id(job_id))


def read_job_id(text: str) -> UUID:
    """The id that a client wrote. Raises NotFound (JOB-001) for what cannot be one."""
    found = find_id(text)
    if found is None:
        raise NotFound("There is no such job.", JOB_NOT_FOUND)
    return found


def job_counts(conn: psycopg.Connection, account_id: UUID, job_id: UUID) -> Job:
    """The job, its texts counted: a read of all of them. Raises NotFound (JOB-001)."""
    row = conn.execute(
        f"SELECT {_COLUMNS}, first_message_id, last_message_id FROM jobs"
        " WHERE account_id = %s AND id = %s",
        (account_id, job_id),
    ).fetchone()
    if row is None:
        raise NotFound("There is no such job.", JOB_NOT_FOUND)
    counts = conn.execute(
        "SELECT status, count(*) FROM messages WHERE account_id = %s"
        " AND id BETWEEN %s AND %s AND job_id = %s GROUP BY status",
        (account_id, row[-2], row[-1], job_id),
    ).fetchall()
    return Job(*row[:-2], by_status=dict(counts))


def list_jobs(conn: psycopg.Connection, account_id: UUID, offset: int, limit: int) -> JobPage:
    """The account's jobs, newest first, without counts of texts."""
    count = conn.execute("SELECT count(*) FROM jobs WHERE account_id = %s", (account_id,))
    total = (count.fetchone() or (0,))[0]
    rows = conn.execute(
        f"SELECT {_COLUMNS}, first_message_id, last_message_id FROM jobs WHERE account_id = %s"
        " ORDER BY id DESC LIMIT %s OFFSET %s",
        (account_id, limit, min(offset, total)),
    ).fetchall()
    waits = {row[0] for row in rows if row[-1] and _waits(conn, account_id, row[0], *row[-2:])}
    return JobPage([Job(*row[:-2]) for row in rows], waits, total)


def _waits(
    conn: psycopg.Connection, account_id: UUID, job_id: UUID, first: UUID, last: UUID
) -> bool:
    for table in ("dispatch_queue", "parked_messages"):
        row = conn.execute(
            "SELECT count(*), bool_or(m.job_id = %(job)s) FROM ("
            f"  SELECT message_id FROM {table} WHERE account_id = %(account)s"
            "   AND message_id BETWEEN %(first)s AND %(last)s LIMIT %(most)s) w"
            " CROSS JOIN LATERAL (SELECT job_id FROM messages WHERE account_id = %(account)s"
            "   AND id = w.message_id LIMIT 1) m".encode(),
            {
                "account": account_id,
                "job": job_id,
                "first": first,
                "last": last,
                "most": _LOOKED_AT,
            },
        ).fetchone()
        if row and row[0] and (row[1] or row[0] >= _LOOKED_AT):
            return True
    return False


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


def _status(job: Job, waits: bool) -> str:
    if job.state in ("canceling", "canceled"):
        return "canceled"
    if job.state in ("pausing", "paused"):
        return "paused"
    if not job.expanded:
        is_later = job.due_at is not None and job.due_at > job.created_at
        return "scheduled" if is_later and not job.requested else "running"
    return "running" if waits else "complete"


def job_view(job: Job) -> dict[str, Any]:
    """The fields of product decisions, "jobs"; ``complete`` once no text is on its way."""
    return _view(job, job.status) | {
        "queued": job.waiting,
        "sent": job.by_status.get(Status.SENT.value, 0),
        "delivered": job.by_status.get(Status.DELIVERED.value, 0),
        "failed": job.failed,
    }


def listed_job_view(job: Job, waits: bool) -> dict[str, Any]:
    """As ``job_view``, without the counts that would need every text to be read."""
    return _view(job, _status(job, waits))


def _view(job: Job, status: str) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": str(job.id),
        "status": status,
        "template": job.template,
        "requested": job.requested,
        "valid": job.valid,
        "invalid": job.invalid,
        "price": price_view(job.price_micros),
        "created": moment_view(job.created_at),
    }
    if job.due_at is not None and job.due_at > job.created_at:
        view["sendAt"] = iso(job.due_at)
    return view
