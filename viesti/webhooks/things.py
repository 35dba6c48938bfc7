"""What events are about, read in a few statements per batch; used by ``payload``.

Every statement on a tenant table is filtered by the accounts of one placement group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.conversations.views import ConversationRow, with_sender
from viesti.domain.groups.models import SenderGroup
from viesti.domain.groups.queries import find_sender_groups
from viesti.domain.lists.models import Membership
from viesti.domain.messages.views import ContactIdentity, MessageRow
from viesti.events.catalogue import EventType

Key = tuple[UUID, UUID]  # account, id


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as stored."""

    account_id: UUID
    id: UUID
    type: str
    contact_id: UUID | None
    conversation_id: UUID | None
    message_id: UUID | None
    facts: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """What ``contact_view`` shows."""

    id: UUID
    mobile: str
    country: str
    first_name: str | None
    last_name: str | None
    email: str | None
    attributes: dict[str, Any]
    tags: list[str]
    opted_in_at: datetime | None
    created_at: datetime
    updated_at: datetime
    blocked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Message:
    row: MessageRow
    contact_created_at: datetime | None
    conversation_closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Things:
    """All that the events of a batch are about."""

    messages: dict[Key, Message]
    contacts: dict[Key, Contact]
    conversations: dict[Key, ConversationRow]
    senders: dict[UUID, SenderGroup]
    lists: dict[Key, list[Membership]]  # of the contacts that are on any


# What the conversation's own events carry; every other event carries its message or contact.
CONVERSATION_EVENTS = frozenset((EventType.CONVERSATION_STARTED, EventType.CONVERSATION_CLOSED))


def load_things(
    conn: psycopg.Connection, accounts: list[UUID], events: Sequence[EventRow]
) -> Things:
    """Everything that the bodies of ``events`` need; what is gone is absent."""
    messages = _load_messages(
        conn, accounts, {(e.account_id, e.message_id) for e in events if e.message_id}
    )
    rest = [event for event in events if event.message_id is None]
    threads = {
        (e.account_id, e.conversation_id)
        for e in rest
        if e.conversation_id and e.type in CONVERSATION_EVENTS
    }
    people = {
        (e.account_id, e.contact_id)
        for e in rest
        if e.contact_id and e.type not in CONVERSATION_EVENTS
    }
    conversations = _load_conversations(conn, accounts, threads)
    sender_ids = {m.row.sender_id for m in messages.values() if m.row.sender_id is not None}
    sender_ids |= {row.sender_id for row in conversations.values()}
    # Senders stand in a local table, so they are read apart from the tenant rows.
    senders = find_sender_groups(conn, sender_ids)
    return Things(
        {key: _with_group(message, senders) for key, message in messages.items()},
        _load_contacts(conn, accounts, people),
        {key: with_sender(row, senders.get(row.sender_id)) for key, row in conversations.items()},
        senders,
        _load_lists(conn, accounts, people),
    )


# The pairs come as two arrays; the accounts again as a constant, for routing (citus.md).
_MESSAGES = """
SELECT m.account_id, m.id, m.job_id, m.contact_id, m.mobile, c.country, c.first_name,
       c.last_name, c.email, c.created_at, m.conversation_id, v.closed_at, m.sender_id, m.sender,
       m.outgoing, m.type, m.status, m.message, m.media, m.segments, m.price_micros,
       m.error_code, m.receipt_missing, m.send_at, m.created_at, m.updated_at
FROM unnest(%(pair_accounts)b::uuid[], %(pair_ids)b::uuid[]) AS p(account_id, id)
JOIN messages m ON m.account_id = p.account_id AND m.id = p.id
LEFT JOIN contacts c ON c.account_id = m.account_id AND c.id = m.contact_id
  AND c.account_id = ANY(%(accounts)b)
LEFT JOIN conversations v ON v.account_id = m.account_id AND v.id = m.conversation_id
  AND v.account_id = ANY(%(accounts)b)
WHERE m.account_id = ANY(%(accounts)b)
"""

_CONTACTS = """
SELECT c.account_id, c.id, c.mobile, c.country, c.first_name, c.last_name, c.email,
       c.attributes, c.tags, c.opted_in_at, c.created_at, c.updated_at, o.at
FROM unnest(%(pair_accounts)b::uuid[], %(pair_ids)b::uuid[]) AS p(account_id, id)
JOIN contacts c ON c.account_id = p.account_id AND c.id = p.id
LEFT JOIN opt_outs o ON o.account_id = c.account_id AND o.mobile = c.mobile
  AND o.account_id = ANY(%(accounts)b)
WHERE c.account_id = ANY(%(accounts)b)
"""

_LISTS = """
SELECT m.account_id, m.contact_id, l.id, l.name, m.opt_in_at, m.opt_out_at
FROM unnest(%(pair_accounts)b::uuid[], %(pair_ids)b::uuid[]) AS p(account_id, id)
JOIN list_members m ON m.account_id = p.account_id AND m.contact_id = p.id
JOIN lists l ON l.account_id = m.account_id AND l.id = m.list_id
  AND l.account_id = ANY(%(accounts)b)
WHERE m.account_id = ANY(%(accounts)b)
ORDER BY l.name
"""

_CONVERSATIONS = """
SELECT v.account_id, v.id, v.contact_id, v.mobile, c.country, c.first_name, c.last_name, c.email,
       v.sender_id, v.sender, v.last_message_id, v.unread, v.last_inbound_at, v.read_by,
       v.flagged_at, v.created_at, v.updated_at, v.closed_at
FROM unnest(%(pair_accounts)b::uuid[], %(pair_ids)b::uuid[]) AS p(account_id, id)
JOIN conversations v ON v.account_id = p.account_id AND v.id = p.id
LEFT JOIN contacts c ON c.account_id = v.account_id AND c.id = v.contact_id
  AND c.account_id = ANY(%(accounts)b)
WHERE v.account_id = ANY(%(accounts)b)
"""


def _pairs(accounts: list[UUID], keys: set[Key]) -> dict[str, Any]:
    return {
        "accounts": accounts,
        "pair_accounts": [key[0] for key in keys],
        "pair_ids": [key[1] for key in keys],
    }


def _load_messages(
    conn: psycopg.Connection, accounts: list[UUID], keys: set[Key]
) -> dict[Key, Message]:
    if not keys:
        return {}
    found: dict[Key, Message] = {}
    for r in conn.execute(_MESSAGES, _pairs(accounts, keys), binary=True):
        row = MessageRow(
            account_id=r[0],
            id=r[1],
            job_id=r[2],
            contact=ContactIdentity(r[3], r[4], r[5] or "", r[6], r[7], r[8]),
            conversation_id=r[10],
            sender_id=r[12],
            sender=r[13],
            outgoing=r[14],
            type=r[15],
            status=r[16],
            message=r[17],
            template=None,
            media=r[18],
            segments=r[19],
            price_micros=r[20],
            error_code=r[21],
            receipt_missing=r[22],
            unread=not r[14],
            send_at=r[23],
            created_at=r[24],
            updated_at=r[25],
        )
        found[r[0], r[1]] = Message(row, r[9], r[11])
    return found


def _load_contacts(
    conn: psycopg.Connection, accounts: list[UUID], keys: set[Key]
) -> dict[Key, Contact]:
    if not keys:
        return {}
    rows = conn.execute(_CONTACTS, _pairs(accounts, keys), binary=True)
    return {(r[0], r[1]): Contact(*r[1:]) for r in rows}


def _load_lists(
    conn: psycopg.Connection, accounts: list[UUID], keys: set[Key]
) -> dict[Key, list[Membership]]:
    if not keys:
        return {}
    found: defaultdict[Key, list[Membership]] = defaultdict(list)
    for r in conn.execute(_LISTS, _pairs(accounts, keys), binary=True):
        found[r[0], r[1]].append(Membership(*r[2:]))
    return dict(found)


def _load_conversations(
    conn: psycopg.Connection, accounts: list[UUID], keys: set[Key]
) -> dict[Key, ConversationRow]:
    if not keys:
        return {}
    return {
        (r[0], r[1]): ConversationRow(
            account_id=r[0],
            id=r[1],
            contact=ContactIdentity(r[2], r[3], r[4] or "", r[5], r[6], r[7]),
            sender_id=r[8],
            sender=r[9],
            last_message_id=r[10],
            last_message=None,
            unread=r[11],
            last_inbound_at=r[12],
            read_by=r[13],
            flagged_at=r[14],
            created_at=r[15],
            updated_at=r[16],
            closed_at=r[17],
        )
        for r in conn.execute(_CONVERSATIONS, _pairs(accounts, keys), binary=True)
    }


def _with_group(message: Message, senders: Mapping[UUID, SenderGroup]) -> Message:
    sender = senders.get(message.row.sender_id) if message.row.sender_id else None
    if sender is None:
        return message
    return replace(message, row=replace(message.row, group=sender.group))
