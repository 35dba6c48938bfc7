"""Commits what carriers answered to segments; used by the carrier desk.

Everything hangs on the row in the queue: an answer counts if it still changes that row (or the
held text's), so that a batch that is applied twice, because its commit was in doubt, counts
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.carriers.base import SubmitOutcome, Verdict
from viesti.dispatch.texts import MAX_RETRIES, Text
from viesti.domain.messages.parked import answer_held, hold, refuse_held
from viesti.domain.messages.progress import Step
from viesti.domain.messages.segments import Answer, receipt_step, record_answers
from viesti.sms.dlr import canonical_id


@dataclass(frozen=True, slots=True)
class Attempt:
    """A segment that was written; comes back as the key of its outcome."""

    text: Text
    segment: int

    @property
    def bit(self) -> int:
        return 1 << self.segment


@dataclass(slots=True)
class _Sum:
    """All outcomes of one text in one batch, as bits of its segments."""

    accepted: int = 0
    again: int = 0
    unknown: int = 0
    error_code: str | None = None
    ids: dict[int, str] = field(default_factory=dict[int, str])


def commit_outcomes(
    conn: psycopg.Connection,
    carrier_id: UUID,
    outcomes: Sequence[tuple[Attempt, SubmitOutcome]],
    *,
    resend_unknown: bool,
    receipts: str,
    now: datetime,
) -> list[Step]:
    """Write ``outcomes`` in the caller's transaction; the steps are for ``advance``.

    ``receipts`` is the carrier's habit: each, first, last, none. ``resend_unknown`` is its
    policy for segments without an answer: submit again (at least once) instead of hold.
    """
    sums: dict[Text, _Sum] = {}
    for attempt, outcome in outcomes:
        total = sums.setdefault(attempt.text, _Sum())
        if outcome.verdict is Verdict.ACCEPTED:
            total.accepted |= attempt.bit
            total.ids[attempt.segment] = outcome.carrier_message_id
        elif outcome.verdict is Verdict.REFUSED:
            total.error_code = total.error_code or outcome.error_code
        elif outcome.verdict is Verdict.UNKNOWN and not resend_unknown:
            total.unknown |= attempt.bit
        elif _is_spent(attempt.text, outcome):
            total.error_code = total.error_code or outcome.error_code
        else:
            total.again |= attempt.bit
    taken, steps = _answer(conn, sums, now)
    answers = [
        Answer(
            text.account_id,
            text.message_id,
            segment,
            carrier_id,
            _row_id(sums[text].ids[segment], text, segment),
            text.mobile,
        )
        for text, bits in taken.items()
        for segment in sums[text].ids
        if bits >> segment & 1
    ]
    for meeting in record_answers(conn, answers, now):
        step = receipt_step(meeting.account_id, meeting.message_id, meeting.state, receipts)
        if step:
            steps.append(step)
    steps += _end(conn, {text: s.error_code for text, s in sums.items() if s.error_code}, now)
    unknown = [text for text, s in sums.items() if s.unknown and not s.error_code]
    if unknown:
        steps += hold(conn, [t.account_id for t in unknown], [t.message_id for t in unknown], now)
    return steps


def _is_spent(text: Text, outcome: SubmitOutcome) -> bool:
    """Whether the carrier has put the text off too often. One that never left has no code."""
    return (
        outcome.verdict is Verdict.RETRY
        and bool(outcome.error_code)
        and text.retries >= MAX_RETRIES
    )


def _row_id(carrier_message_id: str, text: Text, segment: int) -> str:
    """The id under which a receipt finds the segment; one that no receipt has if there is none."""
    return canonical_id(carrier_message_id) or f"-{text.message_id}/{segment}"


def _answer(
    conn: psycopg.Connection, sums: dict[Text, _Sum], now: datetime
) -> tuple[dict[Text, int], list[Step]]:
    """Note answered segments and those to be started again; returns the bits that counted."""
    changed = {text: s for text, s in sums.items() if s.accepted or s.again}
    if not changed:
        return {}, []
    done = {t: s for t, s in changed.items() if t.answered | s.accepted == t.all_bits}
    open_ = {t: s for t, s in changed.items() if t not in done}
    counted: set[UUID] = set()
    if done:
        counted.update(
            row[0]
            for row in conn.execute(
                "DELETE FROM dispatch_queue WHERE account_id = ANY(%s) AND message_id = ANY(%s)"
                " RETURNING message_id",
                (list({t.account_id for t in done}), [t.message_id for t in done]),
                binary=True,
            )
        )
    if open_:
        counted.update(
            row[0]
            for row in conn.execute(
                "UPDATE dispatch_queue q SET answered = q.answered | u.accepted,"
                " started = q.started & ~u.again, attempts = q.attempts + (u.again <> 0)::int"
                " FROM unnest(%(owners)b::uuid[], %(ids)b::uuid[], %(accepted)b::int[],"
                "   %(again)b::int[]) AS u(account_id, message_id, accepted, again)"
                " WHERE q.account_id = ANY(%(accounts)s) AND q.message_id = ANY(%(ids)b)"
                " AND q.account_id = u.account_id AND q.message_id = u.message_id"
                " AND q.answered & u.accepted = 0"
                " RETURNING q.message_id",
                {
                    "accounts": list({t.account_id for t in open_}),
                    "owners": [t.account_id for t in open_],
                    "ids": [t.message_id for t in open_],
                    "accepted": [s.accepted for s in open_.values()],
                    "again": [s.again for s in open_.values()],
                },
                binary=True,
            )
        )
    taken: dict[Text, int] = {}
    steps: list[Step] = []
    for text, total in changed.items():
        if not total.accepted:
            continue
        if text.message_id in counted:
            taken[text] = total.accepted
            steps.append(
                Step(text.account_id, text.message_id, accepted=total.accepted.bit_count())
            )
            continue
        # Another dispatcher, or an earlier batch, took the text out of the queue: it is held.
        for segment in total.ids:
            step = answer_held(conn, text.account_id, text.message_id, segment, now)
            if step:
                taken[text] = taken.get(text, 0) | 1 << segment
                steps.append(step)
    return taken, steps


def _end(conn: psycopg.Connection, errors: dict[Text, str | None], now: datetime) -> list[Step]:
    if not errors:
        return []
    gone = {
        row[0]
        for row in conn.execute(
            "DELETE FROM dispatch_queue WHERE account_id = ANY(%s) AND message_id = ANY(%s)"
            " RETURNING message_id",
            (list({t.account_id for t in errors}), [t.message_id for t in errors]),
        )
    }
    steps: list[Step] = []
    for text, code in errors.items():
        if text.message_id in gone:
            steps.append(Step(text.account_id, text.message_id, error_code=code))
        else:
            steps += refuse_held(conn, text.account_id, text.message_id, code or "MSG-006")
    return steps
