"""Jobs whose recipients are a filter: read chunk by chunk behind a durable cursor.

``create_job`` is called by the send and by campaigns and returns at once; ``work_on`` is called
by the ``work`` role until nothing is left. A chunk's texts, its cursor and its counts are one
transaction under the lock of the job's row, so that whatever is killed when, each contact has
exactly one text, and any number of processes may take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from viesti.domain.contacts.upsert import find_contacts_by_id
from viesti.domain.messages.accept import Order, accept, get_wording
from viesti.domain.messages.control import SWEEPS, cancel_job, pause_job, resume_job, sweep
from viesti.domain.messages.jobs import Job, job_counts
from viesti.domain.messages.matches import Filters, load_filters, next_stretch, store_filters
from viesti.domain.messages.models import WakeHint
from viesti.domain.messages.recipients import Recipient
from viesti.domain.messages.terms import get_terms
from viesti.kit.ids import bound_at, new_id

__all__ = [
    "EXPANSION_CHANNEL",
    "Job",
    "JobRequest",
    "Worked",
    "cancel_job",
    "create_job",
    "find_work",
    "job_counts",
    "pause_job",
    "resume_job",
    "work_on",
]

# Wakes the ``work`` role: a job was created, paused, resumed or canceled. No payload.
EXPANSION_CHANNEL = "viesti_jobs"
# Contacts that one transaction reads: long enough that its fixed costs do not show, short enough
# (a fifth of a second) that jobs share, and that a pause is heard at once.
CHUNK = 2_500
MOST_JOBS = 1_000
# So that one account's jobs, stuck or many, leave room for the others'.
MOST_JOBS_OF_ACCOUNT = 100


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A send to whom ``filters`` match; ``send_at`` (None: now) is when that is looked up.

    Without filters it is complete as it is: the call named everybody.
    """

    template: str
    filters: Filters | None
    type: str = "SMS"  # or MMS
    media: Sequence[dict[str, Any]] = ()  # each {"url": ...}
    strategy: str = "reuse"
    group_id: str | None = None
    send_at: datetime | None = None
    quiet_hours: bool | None = None  # None: as the account has settled
    credential_id: UUID | None = None
    campaign_run_id: UUID | None = None
    # What the call named beside the filters; its texts are stored already.
    job_id: UUID = field(default_factory=new_id)
    requested: int = 0
    invalid: int = 0
    queued: int = 0
    price_micros: int = 0
    first_message_id: UUID | None = None
    last_message_id: UUID | None = None


@dataclass(slots=True)
class Worked:
    """What one piece did, and whom to wake after the commit. Not ``done``: another has the job."""

    done: bool = False
    wake: list[WakeHint] = field(default_factory=list[WakeHint])
    has_events: bool = False


def create_job(
    conn: psycopg.Connection, account_id: UUID, request: JobRequest, now: datetime
) -> UUID:
    """Store the job; wake ``EXPANSION_CHANNEL`` after the commit.

    The caller checked template (TMPL-...), media and strategy. Raises Invalid for filters that
    cannot be understood.
    """
    conn.execute(
        "INSERT INTO jobs (account_id, id, template, type, media, requested, valid, invalid,"
        " queued, price_micros, first_message_id, last_message_id, named_until, credential_id,"
        " campaign_run_id, strategy, group_id, quiet_hours, filters, expanded, contact_bound,"
        " due_at, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
        " %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            account_id,
            request.job_id,
            request.template,
            request.type,
            Jsonb(list(request.media)),
            request.requested,
            request.requested - request.invalid,
            request.invalid,
            request.queued,
            request.price_micros,
            request.first_message_id,
            request.last_message_id,
            request.last_message_id,
            request.credential_id,
            request.campaign_run_id,
            request.strategy,
            request.group_id,
            request.quiet_hours,
            None if request.filters is None else Jsonb(store_filters(request.filters)),
            request.filters is None,
            None if request.send_at or not request.filters else _bound(conn, account_id, now),
            request.send_at or now,
            now,
        ),
    )
    return request.job_id


def find_work(conn: psycopg.Connection, now: datetime) -> list[tuple[UUID, UUID]]:
    """(account, job) of every job that has something to do now, those that wait longest first."""
    return conn.execute(
        "SELECT account_id, id FROM (SELECT account_id, id, due_at,"
        "  row_number() OVER (PARTITION BY account_id ORDER BY due_at, id) AS place FROM jobs"
        "  WHERE ((state = 'open' AND NOT expanded)"
        "   OR state IN ('pausing', 'resuming', 'canceling'))"
        "  AND (state <> 'open' OR due_at <= %s)) j WHERE place <= %s ORDER BY due_at LIMIT %s",
        (now, MOST_JOBS_OF_ACCOUNT, MOST_JOBS),
    ).fetchall()


def work_on(conn: psycopg.Connection, account_id: UUID, job_id: UUID, now: datetime) -> Worked:
    """Do the job's next piece in the caller's transaction; nothing if another is at it.

    Raises NotFound (ACCT-008) while the account is disabled.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        job = cursor.execute(
            "SELECT * FROM jobs WHERE account_id = %s AND id = %s FOR UPDATE SKIP LOCKED",
            (account_id, job_id),
        ).fetchone()
    if job is None:
        return Worked()
    if job["state"] in SWEEPS:
        swept = sweep(conn, account_id, job_id, now)
        return Worked(True, swept.wake, swept.has_events)
    if job["state"] != "open" or job["expanded"] or job["due_at"] > now:
        return Worked()
    return _expand(conn, account_id, job, now)


def _expand(
    conn: psycopg.Connection, account_id: UUID, job: dict[str, Any], now: datetime
) -> Worked:
    account = get_terms(conn, account_id)
    if job["quiet_hours"] is not None:
        account = replace(account, quiet_hours=job["quiet_hours"])
    bound: UUID = job["contact_bound"] or _bound(conn, account_id, now)
    stretch = next_stretch(
        conn, account_id, load_filters(job["filters"]), job["contact_cursor"], bound, CHUNK
    )
    ids = stretch.ids
    named = _named(conn, account_id, job, ids)
    contacts = find_contacts_by_id(conn, account_id, [i for i in ids if i not in named])
    recipients = [Recipient(contacts[i]) for i in ids if i in contacts]
    result = Worked(True)
    requested = len(recipients)
    invalid = queued = price_micros = 0
    first = last = None
    if recipients:
        order = Order(
            job_id=job["id"],
            wording=get_wording(conn, account, job["template"], job["media"]),
            type=job["type"],
            media=job["media"],
            strategy=job["strategy"],
            group_id=job["group_id"],
        )
        accepted = accept(conn, account, order, recipients, now)
        result.wake, result.has_events = accepted.wake, accepted.has_events
        invalid, queued = len(accepted.invalid), accepted.queued
        price_micros = accepted.price_micros
        first, last = accepted.first_id, accepted.last_id
    conn.execute(
        "UPDATE jobs SET requested = requested + %(requested)s, valid = valid + %(valid)s,"
        " invalid = invalid + %(invalid)s, queued = queued + %(queued)s,"
        " price_micros = price_micros + %(price)s,"
        " first_message_id = LEAST(first_message_id, %(first)s),"
        " last_message_id = GREATEST(last_message_id, %(last)s),"
        " contact_cursor = COALESCE(%(cursor)s, contact_cursor), contact_bound = %(bound)s,"
        " expanded = %(expanded)s WHERE account_id = %(account)s AND id = %(job)s",
        {
            "account": account_id,
            "job": job["id"],
            "requested": requested,
            "valid": requested - invalid,
            "invalid": invalid,
            "queued": queued,
            "price": price_micros,
            "first": first,
            "last": last,
            "cursor": stretch.reached,
            "bound": bound,
            "expanded": stretch.reached is None,
        },
    )
    return result


def _bound(conn: psycopg.Connection, account_id: UUID, now: datetime) -> UUID:
    """Above the ids of all contacts of now: who comes later is not meant, however long it takes.

    Those that are there are meant even if the clock of the host that made them is ahead.
    """
    row = conn.execute(
        "SELECT id FROM contacts WHERE account_id = %s ORDER BY id DESC LIMIT 1", (account_id,)
    ).fetchone()
    bound = bound_at(now + timedelta(milliseconds=1))
    return max(bound, UUID(int=row[0].int + 1)) if row else bound


def _named(
    conn: psycopg.Connection, account_id: UUID, job: dict[str, Any], ids: Sequence[UUID]
) -> set[UUID]:
    """Those of the contacts whom the call named itself: they have their text."""
    if job["named_until"] is None:
        return set()
    rows = conn.execute(
        "SELECT contact_id FROM messages WHERE account_id = %s AND id BETWEEN %s AND %s"
        " AND job_id = %s AND contact_id = ANY(%s)",
        (account_id, job["first_message_id"], job["named_until"], job["id"], list(ids)),
    ).fetchall()
    return {row[0] for row in rows}
