"""Starts attempts: the commit before the bytes; used by the carrier desk.

Consent is checked here for the last time, in the statement that starts the attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.dispatch.texts import Text
from viesti.domain.messages.progress import Step
from viesti.sms.segments import encode_message

# The ids stand beside the join as an array too: whatever the planner believes about a queue that
# was empty a second ago, it then goes by the primary key.
_START = """
WITH started AS (
    UPDATE dispatch_queue q SET started = q.started | u.mask, claimed_by = %(me)s,
        started_at = %(now)s
    FROM unnest(%(owners)s::uuid[], %(ids)s::uuid[], %(masks)s::int[], %(before)s::int[])
         AS u(account_id, message_id, mask, before)
    WHERE q.account_id = ANY(%(accounts)s) AND q.message_id = ANY(%(ids)s)
      AND q.account_id = u.account_id AND q.message_id = u.message_id AND q.started = u.before
      AND (q.started = q.answered OR q.claimed_by = %(me)s)
      AND (q.consent_reply OR NOT EXISTS (
          SELECT 1 FROM opt_outs o WHERE o.account_id = ANY(%(accounts)s)
            AND o.account_id = q.account_id AND o.mobile = q.mobile))
    RETURNING q.account_id, q.message_id)
SELECT s.message_id, m.message, m.sender FROM started s
JOIN messages m ON m.account_id = s.account_id AND m.id = s.message_id
WHERE m.account_id = ANY(%(accounts)s) AND m.id = ANY(%(ids)s)
    AND m.id BETWEEN %(first)s AND %(last)s
"""


@dataclass(frozen=True, slots=True)
class Start:
    """A wish to start the segments ``mask`` of ``text``."""

    text: Text
    mask: int


@dataclass(slots=True)
class Started:
    """What came of the wishes."""

    granted: list[Start] = field(default_factory=list[Start])  # to be written after the commit
    again: list[Text] = field(default_factory=list[Text])  # to be wished for again
    gone: list[Text] = field(default_factory=list[Text])  # changed under us, or without consent
    steps: list[Step] = field(default_factory=list[Step])


def start(conn: psycopg.Connection, starts: Sequence[Start], me: UUID, now: datetime) -> Started:
    """Start ``starts`` in the caller's transaction; write the granted ones after its commit.

    A text is lost when its row changed under us (another dispatcher, a cancellation).
    """
    if not starts:
        return Started()
    by_id = {wish.text.message_id: wish for wish in starts}
    accounts = list({wish.text.account_id for wish in starts})
    rows = conn.execute(
        _START,
        {
            "me": me,
            "now": now,
            "accounts": accounts,
            "owners": [wish.text.account_id for wish in starts],
            "ids": [wish.text.message_id for wish in starts],
            "masks": [wish.mask for wish in starts],
            "before": [wish.text.started for wish in starts],
            "first": min(by_id),
            "last": max(by_id),
        },
        binary=True,
    ).fetchall()
    granted_ids: set[UUID] = set()
    for message_id, message, sender in rows:
        granted_ids.add(message_id)
        text = by_id[message_id].text
        if not text.parts:
            # The reference of a long text need only differ from that of its neighbours.
            encoded = encode_message(message, message_id.bytes[-1])
            text.parts = encoded.parts
            text.data_coding = encoded.data_coding
            text.sender = sender
    missing = {
        wish.text.message_id: wish.text
        for wish in starts
        if wish.text.message_id not in granted_ids
    }
    result = Started([wish for wish in starts if wish.text.message_id in granted_ids])
    if missing:
        result.steps = _refuse_opted_out(conn, accounts, list(missing))
        for step in result.steps:
            result.gone.append(missing.pop(step.message_id))
        for message_id in _undo_own(conn, accounts, list(missing.values()), me):
            result.again.append(missing.pop(message_id))
        result.gone += missing.values()
    return result


def _refuse_opted_out(
    conn: psycopg.Connection, accounts: list[UUID], ids: Sequence[UUID]
) -> list[Step]:
    rows = conn.execute(
        "DELETE FROM dispatch_queue q WHERE q.account_id = ANY(%(accounts)s)"
        " AND q.message_id = ANY(%(ids)s) AND q.started = q.answered AND NOT q.consent_reply"
        " AND EXISTS (SELECT 1 FROM opt_outs o WHERE o.account_id = ANY(%(accounts)s)"
        "   AND o.account_id = q.account_id AND o.mobile = q.mobile)"
        " RETURNING q.account_id, q.message_id",
        {"accounts": accounts, "ids": list(ids)},
    ).fetchall()
    return [Step(row[0], row[1], error_code="CONT-010") for row in rows]


def _undo_own(
    conn: psycopg.Connection, accounts: list[UUID], texts: Sequence[Text], me: UUID
) -> list[UUID]:
    """Take back starts of this very process whose commit was in doubt: nothing was written."""
    rows = conn.execute(
        "UPDATE dispatch_queue q SET started = u.before"
        " FROM unnest(%(owners)s::uuid[], %(ids)s::uuid[], %(before)s::int[])"
        "   AS u(account_id, message_id, before)"
        " WHERE q.account_id = ANY(%(accounts)s) AND q.message_id = ANY(%(ids)s)"
        " AND q.account_id = u.account_id AND q.message_id = u.message_id AND q.claimed_by = %(me)s AND q.started <> u.before"
        " RETURNING q.message_id",
        {
            "me": me,
            "accounts": accounts,
            "owners": [text.account_id for text in texts],
            "ids": [text.message_id for text in texts],
            "before": [text.started for text in texts],
        },
    ).fetchall()
    return [row[0] for row in rows]
