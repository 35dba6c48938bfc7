"""Starts attempts: the commit before the bytes; used by the carrier desk.

Consent is checked here for the last time, in the statement that starts the attempt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from uuid import UUID

import psycopg

from viesti.dispatch.texts import Text
from viesti.domain.messages.progress import Step
from viesti.sms.segments import encode_message

# One statement for all texts that are alike, and no join with a list of them: whatever the planner
# believes about a queue that was empty a second ago, it then goes by the primary key. The numbers
# are named, or it would read all who ever opted out of an account.
_NOT_OPTED_OUT = """(q.consent_reply OR NOT EXISTS (
          SELECT 1 FROM opt_outs o WHERE o.account_id = ANY(%(accounts)s)
            AND o.mobile = ANY(%(mobiles)b)
            AND o.account_id = q.account_id AND o.mobile = q.mobile))"""
_START = f"""
UPDATE dispatch_queue q SET started = q.started | %(mask)s, claimed_by = %(me)s,
    started_at = %(now)s
WHERE q.account_id = ANY(%(accounts)s) AND q.message_id = ANY(%(ids)b)
  AND q.message_id BETWEEN %(first)s AND %(last)s AND q.started = %(before)s
  AND (q.started = q.answered OR q.claimed_by = %(me)s)
  AND {_NOT_OPTED_OUT}
RETURNING q.message_id
"""
_REFUSE = f"""
DELETE FROM dispatch_queue q
WHERE q.account_id = ANY(%(accounts)s) AND q.message_id = ANY(%(ids)b)
  AND q.started = q.answered AND NOT {_NOT_OPTED_OUT}
RETURNING q.account_id, q.message_id
"""
# A statement of its own: joined to the update it is read once per row.
_WORDS = """
SELECT id, message, sender FROM messages
WHERE account_id = ANY(%(accounts)s) AND id = ANY(%(ids)b) AND id BETWEEN %(first)s AND %(last)s
"""

# Ids compare to each other ten times as slowly as their integers do.
_BY_NUMBER = attrgetter("int")


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
    accounts = list({wish.text.account_id for wish in starts})
    alike: defaultdict[tuple[int, int], list[Text]] = defaultdict(list)
    for wish in starts:
        alike[wish.mask, wish.text.started].append(wish.text)
    granted: set[UUID] = set()
    # Nearly always all wishes are alike: the only segment of a text that was never tried.
    for (mask, before), texts in alike.items():
        ids = [text.message_id for text in texts]
        rows = conn.execute(
            _START.encode(),
            {
                "me": me,
                "now": now,
                "accounts": accounts,
                "mobiles": [text.mobile for text in texts],
                "ids": ids,
                "first": min(ids, key=_BY_NUMBER),
                "last": max(ids, key=_BY_NUMBER),
                "mask": mask,
                "before": before,
            },
            binary=True,
        )
        granted.update(row[0] for row in rows)
    result = Started([wish for wish in starts if wish.text.message_id in granted])
    _encode(conn, accounts, [wish.text for wish in result.granted])
    missing = {
        wish.text.message_id: wish.text for wish in starts if wish.text.message_id not in granted
    }
    if missing:
        result.steps = _refuse_opted_out(conn, accounts, list(missing.values()))
        for step in result.steps:
            result.gone.append(missing.pop(step.message_id))
        for message_id in _undo_own(conn, accounts, list(missing.values()), me):
            result.again.append(missing.pop(message_id))
        result.gone += missing.values()
    return result


def _encode(conn: psycopg.Connection, accounts: list[UUID], texts: Sequence[Text]) -> None:
    """Give those of ``texts`` that start for the first time here their segments."""
    fresh = {text.message_id: text for text in texts if not text.parts}
    if not fresh:
        return
    rows = conn.execute(
        _WORDS,
        {
            "accounts": accounts,
            "ids": list(fresh),
            "first": min(fresh, key=_BY_NUMBER),
            "last": max(fresh, key=_BY_NUMBER),
        },
        binary=True,
    ).fetchall()
    for message_id, message, sender in rows:
        text = fresh[message_id]
        # The reference of a long text need only differ from that of its neighbours.
        encoded = encode_message(message, message_id.bytes[-1])
        text.parts = encoded.parts
        text.data_coding = encoded.data_coding
        text.sender = sender


def _refuse_opted_out(
    conn: psycopg.Connection, accounts: list[UUID], texts: Sequence[Text]
) -> list[Step]:
    rows = conn.execute(
        _REFUSE.encode(),
        {
            "accounts": accounts,
            "mobiles": [text.mobile for text in texts],
            "ids": [text.message_id for text in texts],
        },
        binary=True,
    ).fetchall()
    return [Step(row[0], row[1], error_code="CONT-010") for row in rows]


def _undo_own(
    conn: psycopg.Connection, accounts: list[UUID], texts: Sequence[Text], me: UUID
) -> list[UUID]:
    """Take back starts of this very process whose commit was in doubt: nothing was written."""
    rows = conn.execute(
        "UPDATE dispatch_queue q SET started = u.before"
        " FROM unnest(%(owners)b::uuid[], %(ids)b::uuid[], %(before)b::int[])"
        "   AS u(account_id, message_id, before)"
        " WHERE q.account_id = ANY(%(accounts)s) AND q.message_id = ANY(%(ids)b)"
        " AND q.account_id = u.account_id AND q.message_id = u.message_id"
        " AND q.claimed_by = %(me)s AND q.started <> u.before"
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
