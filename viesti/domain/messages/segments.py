"""Where a segment's answer and its receipt meet: one row by the carrier's id.

Both write the same ``message_segments`` row, whichever comes first, so that a receipt that
overtakes its answer is never lost, under READ COMMITTED and from different processes. Called
by dispatch (answers) and inbound (receipts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from viesti.domain.messages.progress import Step

# A carrier may use an id again; a receipt belongs to a submit of the last days only.
MATCH_WINDOW = timedelta(days=7)
FINAL_RECEIPTS = ("DELIVRD", "UNDELIV", "DELETED", "EXPIRED", "REJECTD")
# Two spellings of a number agree when their last digits do: carriers drop the plus, the country
# code or the trunk prefix. With the id that is certain enough.
AGREEING_DIGITS = 7
# What a final receipt other than DELIVRD makes of its message (product decisions).
RECEIPT_ERRORS = {
    "UNDELIV": "MSG-019",
    "DELETED": "MSG-019",
    "EXPIRED": "MSG-026",
    "REJECTD": "MSG-023",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The carrier took a segment under ``carrier_message_id`` (canonical form)."""

    account_id: UUID
    message_id: UUID
    segment: int  # from 0
    carrier_id: UUID
    carrier_message_id: str
    mobile: str


@dataclass(frozen=True, slots=True)
class ReceiptFact:
    """A receipt whose sender led to ``account_id``."""

    account_id: UUID
    carrier_id: UUID
    carrier_message_id: str
    mobile: str
    state: str
    carrier_error: str = ""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A segment whose answer and receipt are both known now."""

    account_id: UUID
    message_id: UUID
    state: str


_ANSWERED = """
INSERT INTO message_segments AS s (account_id, carrier_id, carrier_message_id, message_id, segment,
                                   mobile, submitted_at, created_at)
SELECT u.account_id, u.carrier_id, u.carrier_message_id, u.message_id, u.segment, u.mobile,
       %(now)s, %(now)s
FROM unnest(%(accounts)b::uuid[], %(carriers)b::uuid[], %(cids)b::text[], %(messages)b::uuid[],
            %(segments)b::int[], %(mobiles)b::text[])
     AS u(account_id, carrier_id, carrier_message_id, message_id, segment, mobile)
ORDER BY u.account_id, u.carrier_id, u.carrier_message_id
ON CONFLICT (account_id, carrier_id, carrier_message_id) DO UPDATE SET
    message_id = excluded.message_id, segment = excluded.segment, mobile = excluded.mobile,
    submitted_at = excluded.submitted_at, created_at = excluded.created_at,
    receipt_state = CASE WHEN s.message_id IS NULL AND s.created_at > %(oldest)s
                          AND right(s.mobile, %(digits)s) = right(excluded.mobile, %(digits)s)
                         THEN s.receipt_state END,
    receipt_at = CASE WHEN s.message_id IS NULL THEN s.receipt_at END
RETURNING s.account_id, s.message_id, s.receipt_state
"""

# A final state is never replaced, a passing one by any other; the number must agree.
_RECEIVED = """
INSERT INTO message_segments AS s (account_id, carrier_id, carrier_message_id, mobile,
                                   receipt_state, receipt_error, receipt_at, created_at)
SELECT u.account_id, u.carrier_id, u.carrier_message_id, u.mobile, u.state, u.error,
       %(now)s, %(now)s
FROM unnest(%(accounts)b::uuid[], %(carriers)b::uuid[], %(cids)b::text[], %(mobiles)b::text[],
            %(states)b::text[], %(errors)b::text[])
     AS u(account_id, carrier_id, carrier_message_id, mobile, state, error)
ORDER BY u.account_id, u.carrier_id, u.carrier_message_id
ON CONFLICT (account_id, carrier_id, carrier_message_id) DO UPDATE SET
    receipt_state = excluded.receipt_state, receipt_error = excluded.receipt_error,
    receipt_at = excluded.receipt_at
WHERE right(s.mobile, %(digits)s) = right(excluded.mobile, %(digits)s)
    AND s.created_at > %(oldest)s
    AND (s.receipt_state IS NULL OR s.receipt_state <> ALL(%(final)s))
    AND s.receipt_state IS DISTINCT FROM excluded.receipt_state
RETURNING s.account_id, s.carrier_message_id, s.message_id, s.receipt_state
"""


def record_answers(
    conn: psycopg.Connection, answers: Sequence[Answer], now: datetime
) -> list[Meeting]:
    """Write the segments that a carrier took; returns those whose receipt was here before."""
    unique = {(a.account_id, a.carrier_id, a.carrier_message_id): a for a in answers}
    if not unique:
        return []
    rows = conn.execute(
        _ANSWERED,
        {
            "now": now,
            "oldest": now - MATCH_WINDOW,
            "digits": AGREEING_DIGITS,
            "accounts": [a.account_id for a in unique.values()],
            "carriers": [a.carrier_id for a in unique.values()],
            "cids": [a.carrier_message_id for a in unique.values()],
            "messages": [a.message_id for a in unique.values()],
            "segments": [a.segment for a in unique.values()],
            "mobiles": [a.mobile for a in unique.values()],
        },
        binary=True,
    ).fetchall()
    return [Meeting(row[0], row[1], row[2]) for row in rows if row[2] is not None]


def record_receipts(
    conn: psycopg.Connection, receipts: Sequence[ReceiptFact], now: datetime
) -> tuple[list[Meeting], list[ReceiptFact]]:
    """Write receipts; returns (those of known segments that say something new, early ones).

    An early one has no answer yet: it waits in its row for the answer.
    """
    latest: dict[tuple[UUID, UUID, str], ReceiptFact] = {}
    for receipt in receipts:
        key = (receipt.account_id, receipt.carrier_id, receipt.carrier_message_id)
        known = latest.get(key)
        if known is None or known.state not in FINAL_RECEIPTS:
            latest[key] = receipt
    if not latest:
        return [], []
    rows = conn.execute(
        _RECEIVED,
        {
            "now": now,
            "oldest": now - MATCH_WINDOW,
            "digits": AGREEING_DIGITS,
            "final": list(FINAL_RECEIPTS),
            "accounts": [r.account_id for r in latest.values()],
            "carriers": [r.carrier_id for r in latest.values()],
            "cids": [r.carrier_message_id for r in latest.values()],
            "mobiles": [r.mobile for r in latest.values()],
            "states": [r.state for r in latest.values()],
            "errors": [r.carrier_error for r in latest.values()],
        },
        binary=True,
    ).fetchall()
    by_key = {(r.account_id, r.carrier_message_id): r for r in latest.values()}
    met = [Meeting(row[0], row[2], row[3]) for row in rows if row[2] is not None]
    early = [by_key[row[0], row[1]] for row in rows if row[2] is None]
    return met, early


def find_known_ids(
    conn: psycopg.Connection,
    account_id: UUID,
    carrier_id: UUID,
    carrier_message_ids: Sequence[str],
) -> dict[str, str]:
    """The number behind each of the ids that belongs to an answered segment."""
    rows = conn.execute(
        "SELECT carrier_message_id, mobile FROM message_segments WHERE account_id = %s"
        " AND carrier_id = %s AND carrier_message_id = ANY(%s) AND message_id IS NOT NULL",
        (account_id, carrier_id, list(carrier_message_ids)),
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def forget_early(
    conn: psycopg.Connection, account_id: UUID, carrier_id: UUID, ids: Sequence[str]
) -> None:
    """Drop receipts that waited under ``ids``: their segment was found under another."""
    conn.execute(
        "DELETE FROM message_segments WHERE account_id = %s AND carrier_id = %s"
        " AND carrier_message_id = ANY(%s) AND message_id IS NULL",
        (account_id, carrier_id, list(ids)),
    )


def receipt_step(account_id: UUID, message_id: UUID, state: str, habit: str) -> Step | None:
    """What a receipt ``state`` does to its message; None for a passing state.

    ``habit`` is which segments the carrier confirms: each, first, last or none.
    """
    if state == "DELIVRD":
        whole = habit in ("first", "last")
        return Step(account_id, message_id, delivered=0 if whole else 1, all_delivered=whole)
    code = RECEIPT_ERRORS.get(state)
    return Step(account_id, message_id, error_code=code) if code else None
