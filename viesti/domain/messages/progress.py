"""Moves messages forward by what carriers said of their segments, and settles the money.

Called by dispatch (answers), inbound (receipts) and expiry inside their transactions. Counters
on the message row make it right whichever of two comes first, from whatever process: each
update re-reads the row that it locks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from viesti.domain.messages.states import Status, sources_of
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent, find_listening, record_events
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

# The order of ids, as integers: ids compare to each other ten times as slowly.
_BY_NUMBER = attrgetter("int")


@dataclass(slots=True)
class Step:
    """What one batch says of one message: counts of segments, and an end if there is one."""

    account_id: UUID
    message_id: UUID
    accepted: int = 0
    delivered: int = 0
    all_delivered: bool = False  # the carrier confirms one segment for all of them
    error_code: str | None = None
    becomes: Status | None = None  # set by a decision; else the counters and the error decide

    def merge(self, other: Step) -> None:
        self.accepted += other.accepted
        self.delivered += other.delivered
        self.all_delivered |= other.all_delivered
        self.error_code = self.error_code or other.error_code
        self.becomes = other.becomes or self.becomes


def _words(wanted: Status) -> str:
    return ", ".join(f"'{word}'" for word in sources_of(wanted))


_DELIVERED = (
    "(CASE WHEN u.all_delivered THEN m.segments ELSE m.delivered_segments + u.delivered END)"
)
_DECISIONS = " ".join(
    f"WHEN u.becomes = '{wanted.value}' AND m.status IN ({_words(wanted)}) THEN u.becomes"
    for wanted in (Status.QUEUED, Status.HELD, Status.CANCELED)
)
# An error ends a text whatever else the same batch says of it. Where the carrier confirms one
# segment for all, that may come before the last of them is taken.
_STATUS = f"""(CASE
    WHEN u.error_code IS NOT NULL AND m.status IN ({_words(Status.ERROR)}) THEN 'error'
    {_DECISIONS}
    WHEN u.becomes IS NOT NULL THEN m.status
    WHEN {_DELIVERED} >= m.segments AND m.sent_segments + u.accepted >= m.segments
        AND m.status IN ({_words(Status.DELIVERED)}) THEN 'delivered'
    WHEN m.sent_segments + u.accepted >= m.segments AND m.status IN ({_words(Status.SENT)})
        THEN 'sent'
    ELSE m.status END)"""
# One statement for all messages that the same happened to, and no join: a join with the list of
# them went through the whole account when the planner knew nothing of rows just written.
# Only a change of status moves updated_at: that is how the statement tells what it did. A text
# that ends while it waits for credit has nothing reserved, and says so by its price.
_ADVANCE = f"""
UPDATE messages m SET
    sent_segments = m.sent_segments + u.accepted,
    delivered_segments = {_DELIVERED},
    status = {_STATUS},
    error_code = CASE WHEN {_STATUS} = m.status THEN m.error_code ELSE u.error_code END,
    price_micros = CASE WHEN m.status = 'suspended' AND {_STATUS} IN ('error', 'canceled')
        THEN 0 ELSE m.price_micros END,
    updated_at = CASE WHEN {_STATUS} = m.status THEN m.updated_at ELSE %(now)s END
FROM (SELECT %(accepted)s::int AS accepted, %(delivered)s::int AS delivered,
             %(all)s::bool AS all_delivered, %(error)s::text AS error_code,
             %(becomes)s::text AS becomes) AS u
WHERE m.account_id = ANY(%(accounts)s) AND m.id = ANY(%(ids)b)
    AND m.id BETWEEN %(first)s AND %(last)s
RETURNING m.id, m.status, m.updated_at = %(now)s, m.sent_segments >= m.segments,
    m.sent_segments >= m.segments AND m.sent_segments - u.accepted < m.segments, m.price_micros
"""
# Half of what a row costs to read is these two, and only events name them.
_ADVANCE_TOLD = f"{_ADVANCE}, m.contact_id, m.conversation_id"


@dataclass(slots=True)
class _Money:
    charged: int = 0
    released: int = 0


@dataclass(frozen=True, slots=True)
class Advanced:
    """What ``advance`` did: whether events were recorded, and which messages changed."""

    has_events: bool = False
    changed: dict[UUID, Status] = field(default_factory=dict[UUID, Status])


def advance(conn: psycopg.Connection, steps: Iterable[Step]) -> Advanced:
    """Apply ``steps``; steps of one message are taken together.

    A message only moves along the table in ``states``; what would move it back changes
    nothing. The price is charged when every segment is accepted, or released when the message
    ends before that: exactly once, since only a change of state does either.
    """
    merged: dict[UUID, Step] = {}
    for step in steps:
        known = merged.get(step.message_id)
        if known is None:
            merged[step.message_id] = step
        else:
            known.merge(step)
    if not merged:
        return Advanced()
    # Its own moment, so that updated_at = now is true of rows that these statements changed.
    now = utc_now()
    alike: defaultdict[tuple[object, ...], list[Step]] = defaultdict(list)
    for message_id in sorted(merged, key=_BY_NUMBER):
        step = merged[message_id]
        key = (step.accepted, step.delivered, step.all_delivered, step.error_code, step.becomes)
        alike[key].append(step)
    accounts = {step.account_id for step in merged.values()}
    listening = find_listening(conn, accounts)
    update = _ADVANCE_TOLD if listening else _ADVANCE
    rows = [row for some in alike.values() for row in _apply(conn, update, some, now)]
    events: list[NewEvent] = []
    money: defaultdict[UUID, _Money] = defaultdict(_Money)
    changed: dict[UUID, Status] = {}
    released: list[UUID] = []
    for message, word, has_changed, is_sent, reached, price, *things in rows:
        step = merged[message]
        account = step.account_id
        status = Status(word)
        has_failed = status in (Status.ERROR, Status.CANCELED)
        if reached and (has_changed or not has_failed):
            money[account].charged += price
        elif has_changed and has_failed and not is_sent:
            money[account].released += price
            released.append(message)
        if has_changed:
            changed[message] = status
        if account not in listening:
            continue
        contact, thread = things
        if reached and status in (Status.SENT, Status.DELIVERED):
            events.append(
                NewEvent(
                    account, EventType.MESSAGE_SENT, contact, thread, message, {"status": "sent"}
                )
            )
        if has_changed and status is not Status.SENT:
            facts = {"status": status.value, "error_code": step.error_code}
            events.append(
                NewEvent(account, EventType.MESSAGE_STATUS, contact, thread, message, facts)
            )
    if released:
        _withdraw(conn, list(accounts), released)
    _settle(conn, money, now)
    return Advanced(record_events(conn, events, now), changed)


def _withdraw(conn: psycopg.Connection, accounts: list[UUID], ids: list[UUID]) -> None:
    """What ended before it left costs nothing, says so, and no part of it leaves any more."""
    conn.execute(
        "UPDATE messages SET price_micros = 0 WHERE account_id = ANY(%s) AND id = ANY(%s)",
        (accounts, ids),
    )
    for waiting in ("dispatch_queue", "parked_messages"):
        conn.execute(
            sql.SQL("DELETE FROM {} WHERE account_id = ANY(%s) AND message_id = ANY(%s)").format(
                sql.Identifier(waiting)
            ),
            (accounts, ids),
        )


def _apply(
    conn: psycopg.Connection, update: str, steps: list[Step], now: datetime
) -> list[tuple[Any, ...]]:
    """Apply steps that differ in nothing but their message; they are in the order of ids."""
    first = steps[0]
    return conn.execute(
        update.encode(),
        {
            "now": now,
            "accounts": list({step.account_id for step in steps}),
            "ids": [step.message_id for step in steps],
            "accepted": first.accepted,
            "delivered": first.delivered,
            "all": first.all_delivered,
            "error": first.error_code,
            "becomes": first.becomes.value if first.becomes else None,
            "first": first.message_id,
            "last": steps[-1].message_id,
        },
        binary=True,
    ).fetchall()


def _settle(conn: psycopg.Connection, money: dict[UUID, _Money], now: datetime) -> None:
    """One update of the balance and one ledger row per account and batch."""
    moved = {account: m for account, m in sorted(money.items()) if m.charged or m.released}
    if not moved:
        return
    conn.execute(
        "UPDATE balances b SET available_micros = b.available_micros + u.released,"
        " reserved_micros = b.reserved_micros - u.released - u.charged, updated_at = %(now)s"
        " FROM unnest(%(accounts)b::uuid[], %(released)b::bigint[], %(charged)b::bigint[])"
        "   AS u(account_id, released, charged)"
        " WHERE b.account_id = ANY(%(accounts)b) AND b.account_id = u.account_id",
        {
            "now": now,
            "accounts": list(moved),
            "released": [m.released for m in moved.values()],
            "charged": [m.charged for m in moved.values()],
        },
    )
    charged = {account: m.charged for account, m in moved.items() if m.charged}
    if charged:
        conn.execute(
            "INSERT INTO ledger (account_id, id, kind, amount_micros, created_at)"
            " SELECT u.account_id, u.id, 'sent', -u.amount, %(now)s"
            " FROM unnest(%(accounts)b::uuid[], %(ids)b::uuid[], %(amounts)b::bigint[])"
            "   AS u(account_id, id, amount)",
            {
                "now": now,
                "accounts": list(charged),
                "ids": [new_id() for _ in charged],
                "amounts": list(charged.values()),
            },
        )
