"""From delivery receipts to the state of messages; used by the handler and the sweeps.

A receipt names its segment by the carrier's id, which many carriers spell otherwise than in
their answer (``id_format``), and it may overtake that answer. What finds no segment waits in a
row of its own for the answer (``domain/messages/segments``), or settles a held text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg
import structlog

from viesti.carriers.arrivals import Source
from viesti.carriers.base import Receipt
from viesti.domain.messages.parked import answer_held, find_held_segment
from viesti.domain.messages.progress import Step, advance
from viesti.domain.messages.segments import (
    AGREEING_DIGITS,
    Answer,
    Meeting,
    ReceiptFact,
    find_known_ids,
    receipt_step,
    record_answers,
    record_receipts,
)
from viesti.domain.messages.states import Status
from viesti.domain.senders.choice import SenderRow
from viesti.inbound.addresses import clean, numbers_agree, read_handset
from viesti.inbound.id_formats import Learner
from viesti.sms.dlr import id_candidates

log = structlog.get_logger()

# SMPP 3.4 section 5.3.2.12: a message id has at most 65 octets; more is no id of ours.
_LONGEST_ID = 65
_LONGEST_ERROR = 32


@dataclass(frozen=True, slots=True)
class ArrivedReceipt:
    """A receipt whose addresses led to ``owner``; ``handset`` is as the carrier wrote it."""

    owner: SenderRow
    handset: str
    receipt: Receipt


@dataclass(slots=True)
class ReceiptsTaken:
    lanes: list[UUID] = field(default_factory=list[UUID])
    has_events: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """A receipt with every id that its segment may have been answered under."""

    account_id: UUID
    mobile: str
    candidates: tuple[str, ...]


_learner = Learner()


def take_receipts(
    conn: psycopg.Connection, source: Source, arrived: Sequence[ArrivedReceipt], now: datetime
) -> ReceiptsTaken:
    """Write ``arrived``, of accounts of one group, and move their messages on.

    Late and repeated receipts change nothing.
    """
    sound: list[tuple[ArrivedReceipt, Reading]] = []
    for one in arrived:
        reading = _read(one, source.id_format)
        if reading is not None:
            sound.append((one, reading))
    ids = choose_ids(conn, source.carrier_id, [reading for _, reading in sound])
    if source.id_format == "auto":
        _learner.note(conn, source.carrier_id, [(r, ids[r]) for _, r in sound if r in ids], now)
    facts: list[ReceiptFact] = []
    origin: dict[tuple[UUID, str], ArrivedReceipt] = {}
    for one, reading in sound:
        chosen = ids.get(reading, reading.candidates[0])
        facts.append(
            ReceiptFact(
                reading.account_id,
                source.carrier_id,
                chosen,
                reading.mobile,
                one.receipt.state.value,
                clean(one.receipt.carrier_error[:_LONGEST_ERROR]),
            )
        )
        origin[reading.account_id, chosen] = one
    met, early = record_receipts(conn, facts, now)
    steps: list[Step] = []
    lanes: list[UUID] = []
    if early:
        suspects = find_held_numbers(conn, [(f.account_id, f.mobile) for f in early])
        for fact in early:
            if (fact.account_id, fact.mobile) in suspects:
                one = origin[fact.account_id, fact.carrier_message_id]
                lane = one.owner.id
                settled = settle_held(conn, fact, lane, one.receipt.reference, now)
                steps += settled.steps
                met += settled.met
                lanes += [lane] if settled.is_queued else []
    steps += to_steps(met, source.receipts)
    return ReceiptsTaken(lanes, advance(conn, steps).has_events)


def _read(one: ArrivedReceipt, id_format: str) -> Reading | None:
    message_id = clean(one.receipt.carrier_message_id[: _LONGEST_ID + 1])
    candidates = id_candidates(message_id, id_format) if len(message_id) <= _LONGEST_ID else ()
    if not candidates:
        log.warning("receipt_without_id", sender_id=str(one.owner.id))
        return None
    mobile = read_handset(one.handset, one.owner.country).mobile
    return Reading(one.owner.account_id, mobile, candidates)


def choose_ids(
    conn: psycopg.Connection, carrier_id: UUID, readings: Sequence[Reading]
) -> dict[Reading, str]:
    """For readings of several candidates: the one that an answered segment has, if any.

    The number must agree too. Of several the likeliest counts.
    """
    open_: defaultdict[UUID, list[Reading]] = defaultdict(list)
    for reading in readings:
        if len(reading.candidates) > 1:
            open_[reading.account_id].append(reading)
    chosen: dict[Reading, str] = {}
    for account_id, its in sorted(open_.items()):
        wanted = {candidate for reading in its for candidate in reading.candidates}
        known = find_known_ids(conn, account_id, carrier_id, sorted(wanted))
        for reading in its:
            for candidate in reading.candidates:
                mobile = known.get(candidate)
                if mobile and numbers_agree(mobile, reading.mobile, AGREEING_DIGITS):
                    chosen[reading] = candidate
                    break
    return chosen


def find_held_numbers(
    conn: psycopg.Connection, numbers: Sequence[tuple[UUID, str]]
) -> set[tuple[UUID, str]]:
    """Those (account id, number) that a held text goes to: one look keeps most batches short."""
    rows = conn.execute(
        "SELECT DISTINCT account_id, mobile FROM parked_messages WHERE account_id = ANY(%s)"
        " AND reason = 'unknown_outcome' AND mobile = ANY(%s)",
        (list({number[0] for number in numbers}), list({number[1] for number in numbers})),
    ).fetchall()
    return {(row[0], row[1]) for row in rows}


@dataclass(slots=True)
class Settled:
    """What a receipt without a known segment did to a held text."""

    steps: list[Step] = field(default_factory=list[Step])
    met: list[Meeting] = field(default_factory=list[Meeting])
    is_queued: bool = False  # segments that never started go out now


def settle_held(
    conn: psycopg.Connection,
    fact: ReceiptFact,
    lane_id: UUID,
    reference: int | None,
    now: datetime,
) -> Settled:
    """Let the early receipt ``fact`` be the answer of the held segment that it must be for.

    Its row becomes the segment's own. Nothing if no segment, or more than one, fits.
    """
    held = find_held_segment(conn, fact.account_id, lane_id, fact.mobile, reference, now)
    if held is None:
        return Settled()
    step = answer_held(conn, fact.account_id, held.message_id, held.segment, now)
    if step is None:
        return Settled()
    answer = Answer(
        fact.account_id,
        held.message_id,
        held.segment,
        fact.carrier_id,
        fact.carrier_message_id,
        fact.mobile,
    )
    met = record_answers(conn, [answer], now)
    log.info("held_settled", message_id=str(held.message_id), segment=held.segment)
    return Settled([step], met, step.becomes is Status.QUEUED)


def to_steps(met: Sequence[Meeting], habit: str) -> list[Step]:
    """What the receipts of known segments do to their messages."""
    steps = (receipt_step(m.account_id, m.message_id, m.state, habit) for m in met)
    return [step for step in steps if step is not None]
