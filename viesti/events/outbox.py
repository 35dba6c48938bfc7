"""Writes events, and their way to each subscribed webhook, into the caller's transaction.

Called by the rooms that change something; the edge that commits then wakes the ``work`` role
(``WEBHOOKS_CHANNEL``) if anything was recorded. What nobody subscribed to is not written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from viesti.events.catalogue import EventType
from viesti.kit.ids import new_id

# What the ``work`` role listens on.
WEBHOOKS_CHANNEL = "viesti_webhooks"

# Below this many rows one INSERT is quicker than the two exchanges of a COPY, and it also
# works inside a pipeline.
_COPY_FROM_ROWS = 64

_STEP = timedelta(microseconds=1)

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened to the things that the ids name.

    ``facts`` is small and holds only what must be told as it was then; the rest is read when
    the event is first delivered. Keys that the payload knows (values are JSON; times ISO 8601):
    ``status``, ``error_code`` of a message; ``blocked_at`` of a contact (null: not blocked);
    ``closed_at`` of a conversation; ``list`` that a contact opted in to or out of, as the API
    shows it inside a contact.
    """

    account_id: UUID
    type: EventType
    contact_id: UUID | None = None
    conversation_id: UUID | None = None
    message_id: UUID | None = None
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


_EventRow = tuple[
    UUID, UUID, EventType, UUID | None, UUID | None, UUID | None, Mapping[str, Any], datetime
]
_DeliveryRow = tuple[UUID, UUID, UUID, UUID, datetime, datetime]


def record_events(conn: psycopg.Connection, events: Sequence[NewEvent], now: datetime) -> bool:
    """Record those of ``events`` that a webhook of their account listens to.

    Never commits. Returns whether anything was written: then wake ``WEBHOOKS_CHANNEL`` after
    the commit. Subscriptions are read here and now, so one that was committed a moment ago
    hears these events. Costs one query when nobody subscribed. On a distributed engine the
    events of one call belong to one group of accounts (docs/ARCHITECTURE.md).
    """
    if not events:
        return False
    listeners = _listeners(conn, {event.account_id for event in events})
    if not listeners:
        return False
    rows: list[_EventRow] = []
    # Events of one conversation get moments of their own, for ``sequence`` is made of them.
    told: defaultdict[UUID, int] = defaultdict(int)
    deliveries: list[_DeliveryRow] = []
    for event in events:
        webhook_ids = listeners.get((event.account_id, event.type.value))
        if not webhook_ids:
            continue
        event_id = new_id()
        at = now
        if event.conversation_id is not None:
            at += told[event.conversation_id] * _STEP
            told[event.conversation_id] += 1
        rows.append(
            (
                event.account_id,
                event_id,
                event.type,
                event.contact_id,
                event.conversation_id,
                event.message_id,
                event.facts,
                at,
            )
        )
        deliveries += [
            (event.account_id, new_id(), webhook_id, event_id, now, now)
            for webhook_id in webhook_ids
        ]
    if not rows:
        return False
    if len(deliveries) < _COPY_FROM_ROWS:
        _insert(conn, rows, deliveries)
    else:
        _copy(conn, rows, deliveries)
    return True


def find_listening(conn: psycopg.Connection, account_ids: Collection[UUID]) -> set[UUID]:
    """Those of the accounts that have any webhook: the others' events need not be made at all."""
    found = conn.execute(
        "SELECT DISTINCT account_id FROM webhooks"
        " WHERE account_id = ANY(%b) AND disabled_at IS NULL",
        (list(account_ids),),
    ).fetchall()
    return {row[0] for row in found}


def _listeners(
    conn: psycopg.Connection, account_ids: set[UUID]
) -> dict[tuple[UUID, str], list[UUID]]:
    found = conn.execute(
        "SELECT account_id, id, event_types FROM webhooks"
        " WHERE account_id = ANY(%b) AND disabled_at IS NULL",
        (list(account_ids),),
    ).fetchall()
    listeners: defaultdict[tuple[UUID, str], list[UUID]] = defaultdict(list)
    for account_id, webhook_id, event_types in found:
        for event_type in event_types:
            listeners[account_id, event_type].append(webhook_id)
    return dict(listeners)


def _insert(
    conn: psycopg.Connection, rows: list[_EventRow], deliveries: list[_DeliveryRow]
) -> None:
    accounts, ids, types, contacts, conversations, messages, facts, times = zip(*rows, strict=True)
    conn.execute(
        "INSERT INTO events (account_id, id, type, contact_id, conversation_id, message_id,"
        " facts, created_at) SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::text[],"
        " %b::uuid[], %b::uuid[], %b::uuid[], %b::jsonb[], %b::timestamptz[])",
        (
            list(accounts),
            list(ids),
            [kind.value for kind in types],
            list(contacts),
            list(conversations),
            list(messages),
            [Jsonb(fact, dumps=_encode) for fact in facts],
            list(times),
        ),
    )
    conn.execute(
        "INSERT INTO webhook_deliveries (account_id, id, webhook_id, event_id, not_before,"
        " created_at) SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::uuid[], %b::uuid[],"
        " %b::timestamptz[], %b::timestamptz[])",
        [list(column) for column in zip(*deliveries, strict=True)],
    )


def _copy(conn: psycopg.Connection, rows: list[_EventRow], deliveries: list[_DeliveryRow]) -> None:
    cursor = conn.cursor()
    with cursor.copy(
        "COPY events (account_id, id, type, contact_id, conversation_id, message_id, facts,"
        " created_at) FROM STDIN (FORMAT BINARY)"
    ) as copy:
        copy.set_types(["uuid", "uuid", "text", "uuid", "uuid", "uuid", "jsonb", "timestamptz"])
        for account, event_id, kind, contact, conversation, message, facts, at in rows:
            copy.write_row(
                (
                    account,
                    event_id,
                    kind.value,
                    contact,
                    conversation,
                    message,
                    Jsonb(facts, dumps=_encode),
                    at,
                )
            )
    with cursor.copy(
        "COPY webhook_deliveries (account_id, id, webhook_id, event_id, not_before, created_at)"
        " FROM STDIN (FORMAT BINARY)"
    ) as copy:
        copy.set_types(["uuid", "uuid", "uuid", "uuid", "timestamptz", "timestamptz"])
        for row in deliveries:
            copy.write_row(row)
