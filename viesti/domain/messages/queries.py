"""Reads messages: lists and single ones, with their contacts and templates.

Called by the API, the hub and whoever builds an event's body. Every table reference is
filtered by the account, so that each statement stays on one shard (docs/ARCHITECTURE.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql

from viesti.domain.contacts.counts import (
    EXACT_BY_ID_TO,
    EXACT_TO,
    Count,
    count_matches,
    count_rows,
    estimate_matches,
)
from viesti.domain.groups.models import GroupName
from viesti.domain.groups.queries import find_group_names
from viesti.domain.messages.views import ContactIdentity, MessageRow
from viesti.kit.errors import NotFound
from viesti.kit.ids import find_id

MESSAGE_NOT_FOUND = "MSG-002"
# A failure that the carrier reported about the handset; clients ask for it by its old name.
UNDELIVERED = "undelivered"
UNDELIVERED_CODE = "MSG-019"

_SELECT = """
SELECT m.id, m.job_id, m.contact_id, m.mobile, c.country, c.first_name, c.last_name, c.email,
       m.conversation_id, m.sender_id, m.sender, m.outgoing, m.type, m.status, m.message,
       j.template, m.media, m.segments, m.price_micros, m.error_code, m.receipt_missing,
       v.unread, m.send_at, m.created_at, m.updated_at
FROM messages m
LEFT JOIN contacts c ON c.account_id = %(account)s AND c.id = m.contact_id
LEFT JOIN jobs j ON j.account_id = %(account)s AND j.id = m.job_id
LEFT JOIN conversations v ON v.account_id = %(account)s AND v.id = m.conversation_id
WHERE m.account_id = %(account)s AND
"""


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """What a list of messages is narrowed to, as the client wrote it; None: not narrowed."""

    contact_id: str | None = None
    conversation_id: str | None = None
    job_id: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class MessagePage:
    """``count`` of all that match; ``has_next``, always exact: whether any stands behind."""

    messages: list[MessageRow]
    count: Count
    has_next: bool


def list_messages(
    conn: psycopg.Connection,
    account_id: UUID,
    narrow: MessageFilter,
    offset: int,
    limit: int,
    after: UUID | None = None,
) -> MessagePage:
    """Messages of the account, newest first; an id that is not known gives an empty page.

    ``after``: only those older than this one, so that a walk reads nothing twice.
    """
    params: dict[str, Any] = {
        "account": account_id,
        "offset": offset,
        "limit": limit + 1,
        "after": after,
    }
    clauses = _clauses(conn, account_id, narrow, params)
    if clauses is None:
        return MessagePage([], Count(0), has_next=False)
    where = sql.SQL("messages m WHERE {}").format(
        sql.SQL(" AND ".join(("m.account_id = %(account)s", *clauses)))
    )
    count = _count(conn, account_id, narrow, where, params)
    if offset > count.total and count.exact:
        return MessagePage([], count, has_next=False)
    # The page is cut before the joins: an outer join under a LIMIT reads what it does not show.
    ids = [
        record[0]
        for record in conn.execute(
            sql.SQL(
                "SELECT m.id FROM {}{} ORDER BY m.id DESC LIMIT %(limit)s OFFSET %(offset)s"
            ).format(where, sql.SQL(" AND m.id < %(after)s" if after else "")),
            params,
            prepare=False,
            binary=True,
        )
    ]
    rows = load_messages(conn, account_id, ids[:limit])
    return MessagePage(list(rows.values()), count, len(ids) > limit)


def _count(
    conn: psycopg.Connection,
    account_id: UUID,
    narrow: MessageFilter,
    where: sql.Composable,
    params: dict[str, Any],
) -> Count:
    """Exact for the account as a whole; else to a bound, which is higher where an id narrows."""
    if narrow == MessageFilter():
        return count_rows(conn, account_id, "messages")
    by_id = narrow.contact_id or narrow.conversation_id or narrow.job_id
    if not by_id:
        # No index has the status, for it changes on every text: a frequent one is not counted.
        likely = estimate_matches(conn, where, params)
        if likely > 2 * EXACT_TO:
            return Count(likely, exact=False)
    return count_matches(conn, where, params, bound=EXACT_BY_ID_TO if by_id else EXACT_TO)


def get_message(conn: psycopg.Connection, account_id: UUID, message_id: str) -> MessageRow:
    """One message of the account. Raises NotFound (MSG-002)."""
    found = find_id(message_id)
    row = load_messages(conn, account_id, [found]).get(found) if found else None
    if row is None:
        raise NotFound("There is no such message.", MESSAGE_NOT_FOUND)
    return row


def load_messages(
    conn: psycopg.Connection, account_id: UUID, ids: Iterable[UUID]
) -> dict[UUID, MessageRow]:
    """The messages of the account among ``ids``, newest first."""
    wanted = list(ids)
    if not wanted:
        return {}
    records = conn.execute(
        _SELECT + "m.id = ANY(%(ids)s) ORDER BY m.id DESC",
        {"account": account_id, "ids": wanted},
        binary=True,
    ).fetchall()
    groups = find_group_names(conn, account_id, {record[9] for record in records})
    return {record[0]: _row(account_id, record, groups.get(record[9])) for record in records}


def _row(account_id: UUID, record: Sequence[Any], group: GroupName | None) -> MessageRow:
    return MessageRow(
        account_id=account_id,
        id=record[0],
        job_id=record[1],
        contact=ContactIdentity(
            id=record[2],
            mobile=record[3],
            country=record[4] or "",
            first_name=record[5],
            last_name=record[6],
            email=record[7],
        ),
        conversation_id=record[8],
        sender_id=record[9],
        sender=record[10],
        outgoing=record[11],
        type=record[12],
        status=record[13],
        message=record[14],
        template=record[15],
        media=record[16],
        segments=record[17],
        price_micros=record[18],
        error_code=record[19],
        receipt_missing=record[20],
        unread=bool(record[21]),
        send_at=record[22],
        created_at=record[23],
        updated_at=record[24],
        group=group,
    )


def _clauses(
    conn: psycopg.Connection, account_id: UUID, narrow: MessageFilter, params: dict[str, Any]
) -> list[LiteralString] | None:
    """Conditions for ``narrow``, their parameters added; None where nothing can match."""
    clauses: list[LiteralString] = []
    if narrow.conversation_id is not None:
        conversation = find_id(narrow.conversation_id)
        if conversation is None:
            return None
        clauses.append("m.conversation_id = %(conversation)s")
        params["conversation"] = conversation
    if narrow.contact_id is not None:
        contact = find_id(narrow.contact_id)
        if contact is None:
            return None
        # Messages have no index by contact: its conversations lead to them, and a small index to
        # those that were refused without one.
        params["threads"] = [
            record[0]
            for record in conn.execute(
                "SELECT id FROM conversations WHERE account_id = %s AND contact_id = %s",
                (account_id, contact),
            )
        ]
        params["contact"] = contact
        clauses.append(
            "(m.conversation_id = ANY(%(threads)s)"
            " OR (m.conversation_id IS NULL AND m.contact_id = %(contact)s))"
        )
    if narrow.job_id is not None:
        job = find_id(narrow.job_id)
        span = (
            conn.execute(
                "SELECT first_message_id, last_message_id FROM jobs"
                " WHERE account_id = %s AND id = %s",
                (account_id, job),
            ).fetchone()
            if job
            else None
        )
        if span is None or span[0] is None:
            return None
        # Messages have no index by job: its first and last one bound where they lie.
        clauses.append("m.job_id = %(job)s AND m.id BETWEEN %(first)s AND %(last)s")
        params["job"], params["first"], params["last"] = job, span[0], span[1]
    if narrow.status is not None:
        status = narrow.status.strip().lower()
        if status == UNDELIVERED:
            clauses.append("m.status = 'error' AND m.error_code = %(error)s")
            params["error"] = UNDELIVERED_CODE
        else:
            clauses.append("m.status = %(status)s")
            params["status"] = status
    return clauses
