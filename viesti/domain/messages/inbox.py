"""Writes received texts: message rows, and what they change on their conversations.

Called by ``inbound`` inside its transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.domain.contacts.upsert import ContactRow
from viesti.domain.messages.states import Status
from viesti.domain.messages.threads import Thread, ThreadTouch, join_threads
from viesti.domain.senders.choice import SenderRow

Threads = Mapping[tuple[UUID, UUID], Thread]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A received text, decoded, counted and priced."""

    id: UUID
    sender: SenderRow  # ours: the number that it was written to
    contact: ContactRow
    text: str
    encoding: str
    segments: int
    price_micros: int


def store_incoming(
    conn: psycopg.Connection, account_id: UUID, incoming: Sequence[Incoming], now: datetime
) -> Threads:
    """Store ``incoming`` in their order; returns their conversations, now unread."""
    touches = [
        ThreadTouch(i.sender.id, i.sender.number, i.contact.id, i.contact.mobile, i.id)
        for i in incoming
    ]
    threads = join_threads(conn, account_id, touches, now)
    conn.execute(
        "UPDATE conversations SET unread = true, read_by = '{}', last_inbound_at = %s"
        " WHERE account_id = %s AND id = ANY(%s)",
        (now, account_id, [thread.id for thread in threads.values()]),
    )
    conn.execute(
        "INSERT INTO messages (account_id, id, contact_id, conversation_id, sender_id, sender,"
        " mobile, outgoing, status, message, encoding, segments, price_micros, created_at,"
        " updated_at)"
        " SELECT %(account)s, u.id, u.contact_id, u.conversation_id, u.sender_id, u.sender,"
        "  u.mobile, false, %(status)s, u.message, u.encoding, u.segments, u.price, %(now)s,"
        "  %(now)s"
        " FROM unnest(%(ids)s::uuid[], %(contacts)s::uuid[], %(threads)s::uuid[],"
        "   %(senders)s::uuid[], %(numbers)s::text[], %(mobiles)s::text[], %(texts)s::text[],"
        "   %(encodings)s::text[], %(segments)s::int[], %(prices)s::bigint[])"
        "   AS u(id, contact_id, conversation_id, sender_id, sender, mobile, message, encoding,"
        "        segments, price)",
        {
            "account": account_id,
            "status": Status.RECEIVED.value,
            "now": now,
            "ids": [i.id for i in incoming],
            "contacts": [i.contact.id for i in incoming],
            "threads": [threads[i.sender.id, i.contact.id].id for i in incoming],
            "senders": [i.sender.id for i in incoming],
            "numbers": [i.sender.number for i in incoming],
            "mobiles": [i.contact.mobile for i in incoming],
            "texts": [i.text for i in incoming],
            "encodings": [i.encoding for i in incoming],
            "segments": [i.segments for i in incoming],
            "prices": [i.price_micros for i in incoming],
        },
    )
    return threads


def flag_threads(
    conn: psycopg.Connection, account_id: UUID, conversation_ids: Sequence[UUID], now: datetime
) -> None:
    """Mark conversations for a person: a text in them read like an opt-out."""
    if conversation_ids:
        conn.execute(
            "UPDATE conversations SET flagged_at = %s"
            " WHERE account_id = %s AND id = ANY(%s) AND flagged_at IS NULL",
            (now, account_id, list(conversation_ids)),
        )
