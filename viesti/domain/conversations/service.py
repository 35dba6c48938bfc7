"""Lists, fetches and closes conversations; called by the API and the hub.

Starting one belongs to the texts that start it (the send and inbound).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.conversations.views import ConversationRow
from viesti.domain.messages.queries import load_messages
from viesti.domain.messages.views import ContactIdentity
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent, record_events
from viesti.kit.clock import iso
from viesti.kit.errors import NotFound
from viesti.kit.ids import find_id

CONVERSATION_NOT_FOUND = "CONV-001"

_SELECT = """
SELECT v.id, v.contact_id, v.mobile, c.country, c.first_name, c.last_name, c.email,
       v.sender_id, v.sender, v.last_message_id, v.unread, v.flagged_at,
       v.created_at, v.updated_at, v.closed_at
FROM conversations v
LEFT JOIN contacts c ON c.account_id = %(account)s AND c.id = v.contact_id
WHERE v.account_id = %(account)s AND v.id = ANY(%(ids)s)
ORDER BY v.id DESC
"""


@dataclass(frozen=True, slots=True)
class ConversationPage:
    conversations: list[ConversationRow]
    total_count: int


@dataclass(frozen=True, slots=True)
class Closed:
    conversation: ConversationRow
    has_events: bool


def list_conversations(
    conn: psycopg.Connection, account_id: UUID, offset: int, limit: int
) -> ConversationPage:
    """Conversations of the account, open and closed, newest first."""
    count = conn.execute(
        "SELECT count(*) FROM conversations WHERE account_id = %s", (account_id,)
    ).fetchone()
    total = int(count[0]) if count else 0
    if offset >= total:
        return ConversationPage([], total)
    ids = [
        record[0]
        for record in conn.execute(
            "SELECT id FROM conversations WHERE account_id = %s"
            " ORDER BY id DESC LIMIT %s OFFSET %s",
            (account_id, limit, offset),
        )
    ]
    return ConversationPage(list(load_conversations(conn, account_id, ids).values()), total)


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
    senders: dict[UUID, tuple[str, bool]] = {
        record[0]: (record[1], record[2])
        for record in conn.execute(
            "SELECT id, country, active FROM senders WHERE account_id = %s AND id = ANY(%s)",
            (account_id, list({record[7] for record in records})),
        )
    }
    return {record[0]: _row(account_id, record, senders, lasts) for record in records}


def _row(
    account_id: UUID,
    record: Sequence[Any],
    senders: dict[UUID, tuple[str, bool]],
    lasts: dict[UUID, Any],
) -> ConversationRow:
    country, active = senders.get(record[7], ("", False))
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
        sender_country=country,
        sender_active=active,
        last_message_id=record[9],
        last_message=lasts.get(record[9]),
        unread=record[10],
        flagged_at=record[11],
        created_at=record[12],
        updated_at=record[13],
        closed_at=record[14],
    )
