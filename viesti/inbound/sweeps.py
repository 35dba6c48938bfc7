"""What time settles in this room: late matches of receipts, long texts that never came whole.

Called by housekeeping in the ``work`` role. Each piece does a bounded amount in the transaction
it is given, and answers whether more is left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from viesti.db.placement import placement
from viesti.domain.messages.progress import Step, advance
from viesti.domain.messages.segments import Meeting, ReceiptFact, forget_early, record_receipts
from viesti.domain.senders.choice import find_senders_by_id
from viesti.inbound.addresses import read_handset
from viesti.inbound.id_formats import format_of, store_format
from viesti.inbound.parts import end_overdue, find_overdue
from viesti.inbound.receipts import (
    Reading,
    choose_ids,
    find_held_numbers,
    settle_held,
    to_steps,
)
from viesti.inbound.texts import from_joined, take_written
from viesti.sms.dlr import id_candidates

AT_ONCE = 500
# Before that, the answer is probably on its way; after that, nothing can match any more: a held
# text is settled by receipts of its first 10 minutes (design, section 2).
_EARLY_FROM = timedelta(seconds=1)
_EARLY_AGAIN = timedelta(seconds=30)
_EARLY_UNTIL = timedelta(minutes=11)


def expire_parts(conn: psycopg.Connection, now: datetime) -> bool:
    """Store the long texts whose parts did not all come in time, with gaps."""
    overdue = find_overdue(conn, now, AT_ONCE)
    senders = find_senders_by_id(conn, [sender_id for _, sender_id in overdue])
    for account_id, sender_id in sorted(overdue):
        joined = end_overdue(conn, account_id, sender_id, now)
        sender = senders.get(sender_id)
        if sender is None:
            continue
        written = [
            from_joined(text, sender, read_handset(text.mobile, sender.country)) for text in joined
        ]
        take_written(conn, account_id, written, now)
    return len(overdue) >= AT_ONCE


@dataclass(frozen=True, slots=True)
class _Early:
    account_id: UUID
    carrier_id: UUID
    carrier_message_id: str
    mobile: str
    state: str
    error: str

    @property
    def fact(self) -> ReceiptFact:
        return ReceiptFact(
            self.account_id,
            self.carrier_id,
            self.carrier_message_id,
            self.mobile,
            self.state,
            self.error,
        )


def rematch_early(conn: psycopg.Connection, now: datetime) -> bool:
    """Match receipts that found no segment when they came.

    Their answer may have come since under another spelling of the id, or their text may have
    been held since.
    """
    rows = _find_early(conn, now)
    if not rows:
        return False
    carriers: dict[UUID, tuple[str, str]] = {
        row[0]: (row[1], row[2])
        for row in conn.execute("SELECT id, id_format, receipts FROM carriers")
    }
    for group in placement({row.account_id for row in rows}):
        by_carrier: defaultdict[UUID, list[_Early]] = defaultdict(list)
        for row in rows:
            if row.account_id in group and row.carrier_id in carriers:
                by_carrier[row.carrier_id].append(row)
        steps: list[Step] = []
        for carrier_id, early in sorted(by_carrier.items()):
            id_format, habit = carriers[carrier_id]
            met = _match_spellings(conn, carrier_id, id_format, early, now)
            settled, more = _match_held(conn, carrier_id, early, now)
            steps += settled + to_steps(met + more, habit)
        advance(conn, steps)
    return False


def _find_early(conn: psycopg.Connection, now: datetime) -> list[_Early]:
    """Fresh ones, the newest first; and older ones before their time is up."""
    found: dict[tuple[UUID, UUID, str], _Early] = {}
    for since, until, order in (
        (now - _EARLY_AGAIN, now - _EARLY_FROM, "DESC"),
        (now - _EARLY_UNTIL, now - _EARLY_AGAIN, "ASC"),
    ):
        rows: list[tuple[Any, ...]] = conn.execute(
            "SELECT account_id, carrier_id, carrier_message_id, mobile, receipt_state,"
            " COALESCE(receipt_error, '') FROM message_segments WHERE message_id IS NULL"
            " AND created_at > %s AND created_at <= %s"
            + (" ORDER BY created_at DESC" if order == "DESC" else " ORDER BY created_at")
            + " LIMIT %s FOR UPDATE SKIP LOCKED",
            (since, until, AT_ONCE),
        ).fetchall()
        for row in rows:
            found[row[0], row[1], row[2]] = _Early(*row)
    return list(found.values())


def _match_spellings(
    conn: psycopg.Connection,
    carrier_id: UUID,
    id_format: str,
    early: list[_Early],
    now: datetime,
) -> list[Meeting]:
    """Meetings under another spelling; the rows that waited are gone, and out of ``early``."""
    if id_format != "auto":
        return []
    readings = {
        Reading(row.account_id, row.mobile, id_candidates(row.carrier_message_id, "auto")): row
        for row in early
    }
    chosen = choose_ids(conn, carrier_id, list(readings))
    moved: list[tuple[_Early, str]] = []
    for reading, known in chosen.items():
        row = readings[reading]
        moved.append((row, known))
        early.remove(row)
    if not moved:
        return []
    for account_id in sorted({row.account_id for row, _ in moved}):
        its = [row.carrier_message_id for row, _ in moved if row.account_id == account_id]
        forget_early(conn, account_id, carrier_id, its)
    _unlearn(conn, carrier_id, [format_of(r.candidates, known) for r, known in chosen.items()], now)
    facts = [
        ReceiptFact(row.account_id, carrier_id, known, row.mobile, row.state, row.error)
        for row, known in moved
    ]
    met, _ = record_receipts(conn, facts, now)
    return met


def _unlearn(
    conn: psycopg.Connection, carrier_id: UUID, formats: Sequence[str | None], now: datetime
) -> None:
    """Drop a learned format that would have missed one of these matches."""
    row = conn.execute(
        "SELECT learned_id_format FROM carrier_state WHERE carrier_id = %s", (carrier_id,)
    ).fetchone()
    if row and row[0] and any(name not in (None, row[0]) for name in formats):
        store_format(conn, carrier_id, None, now)


def _match_held(
    conn: psycopg.Connection, carrier_id: UUID, early: Sequence[_Early], now: datetime
) -> tuple[list[Step], list[Meeting]]:
    if not early:
        return [], []
    suspects = find_held_numbers(conn, [(row.account_id, row.mobile) for row in early])
    steps: list[Step] = []
    met: list[Meeting] = []
    for row in early:
        if (row.account_id, row.mobile) not in suspects:
            continue
        lane_id = _find_lane(conn, row)
        if lane_id is not None:
            settled = settle_held(conn, row.fact, lane_id, None, now)
            steps += settled.steps
            met += settled.met
    return steps, met


def _find_lane(conn: psycopg.Connection, row: _Early) -> UUID | None:
    """The only lane of the carrier that has a held text to that number; None if in doubt."""
    held = conn.execute(
        "SELECT DISTINCT lane_id FROM parked_messages WHERE account_id = %s AND mobile = %s"
        " AND reason = 'unknown_outcome'",
        (row.account_id, row.mobile),
    ).fetchall()
    senders = find_senders_by_id(conn, [lane[0] for lane in held])
    lanes = [sender.id for sender in senders.values() if sender.carrier_id == row.carrier_id]
    return lanes[0] if len(lanes) == 1 else None
