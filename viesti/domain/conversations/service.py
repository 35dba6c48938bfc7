"""Lists, fetches, closes conversations and marks them read; called by the API and the hub.

Starting one belongs to the texts that start it (the send and inbound).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.contacts.counts import Count, count_rows
from viesti.domain.conversations.views import ConversationRow, with_sender
from viesti.domain.groups.queries import find_sender_groups
from viesti.domain.messages.queries import load_messages
from viesti.domain.messages.views import ContactIdentity, MessageRow
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent, record_events
from viesti.kit.clock import iso
from viesti.kit.errors import NotFound
from viesti.kit.ids import find_id

CONVERSATION_NOT_FOUND = "CONV-001"

_SELECT = """
SELECT v.id, v.contact_id, v.mobile, c.country, c.first_name, c.last_name, c.email,
       v.sender_id, v.sender, v.last_message_id, v.unread, v.last_inbound_at, v.read_by,
       v.flagged_at, v.created_at, v.updated_at, v.closed_at
FROM conversations v
LEFT JOIN contacts c ON c.account_id = %(account)s AND c.id = v.contact_id
WHERE v.account_id = %(account)s AND v.id = ANY(%(ids)s)
ORDER BY v.id DESC
"""


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """``count`` of all there are; ``has_next``: whether any stands behind."""

    conversations: list[ConversationRow]
    count: Count
    has_next: bool


@dataclass(frozen=True, slots=True)
class Closed:
    conversation: ConversationRow
    has_events: bool


def list_conversations(
    conn: psycopg.Connection, account_id: UUID, offset: int, limit: int, after: UUID | None = None
) -> ConversationPage:
    """Conversations of the account, open and closed, newest first.

    ``after``: only those older than this one, so that a walk reads nothing twice.
    """
    count = count_rows(conn, account_id, "conversations")
    if offset > count.total:
        return ConversationPage([], count, has_next=False)
    ids = [
        record[0]
        for record in conn.execute(
            "SELECT id FROM conversations WHERE account_id = %s AND id < %s"
            " ORDER BY id DESC LIMIT %s OFFSET %s",
            (account_id, after or UUID(int=2**128 - 1), limit + 1, offset),
            prepare=False,
            binary=True,
        )
    ]
    rows = load_conversations(conn, account_id, ids[:limit])
    return ConversationPage(list(rows.values()), count, len(ids) > limit)


def get_conversation(
    conn: psycopg.Connection, account_id: UUID, conversation_id: str
) -> ConversationRow:
    """One conversation of the account. Raises NotFound (CONV-001)."""
    found = find_id(conversation_id)
    row = load_conversations(conn, account_id, [found]).get(found) if found else None
    if row is None:
        raise NotFound("There is no such conversation.", CONVERSATION_NOT_FOUND)
    return row


def close_conversation(
    conn: psycopg.Connection, account_id: UUID, conversation_id: str, now: datetime
) -> Closed:
    """The conversation, closed; closing a closed one changes nothing.

    Raises NotFound (CONV-001).
    """
    found = find_id(conversation_id)
    has_events = False
    if found is not None:
        closed = conn.execute(
            "UPDATE conversations SET closed_at = %s, updated_at = %s"
            " WHERE account_id = %s AND id = %s AND closed_at IS NULL"
            " RETURNING contact_id",
            (now, now, account_id, found),
        ).fetchone()
        if closed is not None:
            event = NewEvent(
                account_id,
                EventType.CONVERSATION_CLOSED,
                contact_id=closed[0],
                conversation_id=found,
                facts={"closed_at": iso(now)},
            )
            has_events = record_events(conn, [event], now)
    return Closed(get_conversation(conn, account_id, conversation_id), has_events)


def mark_read(
    conn: psycopg.Connection, account_id: UUID, conversation_id: str, user_id: UUID
) -> bool:
    """Note that the user has read all that came in; whether that is news.

    The next inbound text makes it unread for everybody again. Raises NotFound (CONV-001), also
    for a user who is not in the conversation's group: only its members see it.
    """
    found = find_id(conversation_id)
    # Locked: a text that comes in meanwhile is not taken for read.
    row = conn.execute(
        "SELECT sender_id, last_inbound_at, read_by FROM conversations"
        " WHERE account_id = %s AND id = %s FOR UPDATE",
        (account_id, found),
    ).fetchone()
    sender = find_sender_groups(conn, [row[0]]).get(row[0]) if row else None
    if row is None or sender is None or user_id not in sender.readers:
        raise NotFound("There is no such conversation.", CONVERSATION_NOT_FOUND)
    if row[1] is None or user_id in row[2]:
        return False
    # Its update moment stays: it orders the open conversations of a contact by their texts.
    conn.execute(
        "UPDATE conversations SET unread = false, read_by = read_by || %s::uuid"
        " WHERE account_id = %s AND id = %s",
        (user_id, account_id, found),
    )
    return True


def load_conversations(
    conn: psycopg.Connection, account_id: UUID, ids: Iterable[UUID]
) -> dict[UUID, ConversationRow]:
    """The conversations of the account among ``ids``, newest first."""
    wanted = list(ids)
    if not wanted:
        return {}
    records = conn.execute(_SELECT, {"account": account_id, "ids": wanted}, binary=True).fetchall()
    lasts = load_messages(conn, account_id, [record[9] for record in records if record[9]])
    # Senders stand in a local table, which a distributed engine does not join with tenant rows.
    senders = find_sender_groups(conn, (record[7] for record in records))
    return {
        record[0]: with_sender(_row(account_id, record, lasts), senders.get(record[7]))
        for record in records
    }


def _row(
    account_id: UUID, record: Sequence[Any], lasts: Mapping[UUID, MessageRow]
) -> ConversationRow:
    return ConversationRow(
        account_id=account_id,
        id=record[0],
        contact=ContactIdentity(
            id=record[1],
            mobile=record[2],
            country=record[3] or "",
            first_name=record[4],
            last_name=record[5],
            email=record[6],
        ),
        sender_id=record[7],
        sender=record[8],
        last_message_id=record[9],
        last_message=lasts.get(record[9]),
        unread=record[10],
        last_inbound_at=record[11],
        read_by=record[12],
        flagged_at=record[13],
        created_at=record[14],
        updated_at=record[15],
        closed_at=record[16],
    )
