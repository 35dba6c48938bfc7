"""What texts wait, where, and how those of the last hour fared; read by ``status``.

Every question here has an index and a bound, so that a look costs the same beside a million
waiting texts as beside ten thousand. Statements name the accounts: that is how a distributed
engine finds the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from viesti.db.placement import placement
from viesti.kit.ids import bound_at
from viesti.monitoring.models import Accepted, Errors, Parked, Queue, oldest

# Up to so many rows of the queue are counted; of a longer one so many blocks are looked at.
MOST_QUEUED = 50_000
SAMPLE_BLOCKS = 1_000
# Beside a sample, the heads of the lanes are read: rows of all together, and of each at most
# (the window of a carrier is seldom wider) and at least.
HEADS = 20_000
LONGEST_HEAD = 2_000
SHORTEST_HEAD = 2
MOST_PARKED = 10_000
# Texts of the past that one look reads at most: the longest of these windows that holds no
# more is what the errors are counted over.
MOST_RECENT = 50_000
WINDOWS_S = (3600.0, 600.0, 60.0, 10.0)
RATE_S = 60.0

_FIGURES = """count(*), count(*) FILTER (WHERE d.started <> d.answered),
    count(*) FILTER (WHERE d.started = d.answered AND d.not_before > %(now)s),
    min(d.not_before) FILTER (WHERE d.started = d.answered AND d.not_before <= %(now)s)"""
_WHOLE = f"""
SELECT d.lane_id, {_FIGURES}
FROM (SELECT lane_id, started, answered, not_before FROM dispatch_queue
      WHERE account_id = ANY(%(accounts)s) LIMIT %(most)s) d
GROUP BY d.lane_id
"""
_SAMPLE = f"""
SELECT d.lane_id, {_FIGURES} FROM dispatch_queue d TABLESAMPLE SYSTEM (%(percent)s)
WHERE d.account_id = ANY(%(accounts)s) GROUP BY d.lane_id
"""
_HEADS = f"""
SELECT l.lane_id, {_FIGURES}
FROM unnest(%(owners)b::uuid[], %(lanes)b::uuid[]) AS l(account_id, lane_id)
CROSS JOIN unnest('{{0,1}}'::int[]) AS p(priority)
CROSS JOIN LATERAL (
    SELECT q.not_before, q.started, q.answered FROM dispatch_queue q
    WHERE q.account_id = ANY(%(accounts)s) AND q.account_id = l.account_id
      AND q.lane_id = l.lane_id AND q.priority = p.priority
    ORDER BY q.not_before, q.message_id LIMIT %(share)s) d
GROUP BY l.lane_id
"""
_PARKED = """
SELECT s.reason, s.lane_id, count(*), min(s.parked_at)
FROM unnest('{unknown_outcome,no_credit}'::text[]) AS r(reason)
CROSS JOIN LATERAL (
    SELECT p.reason, p.lane_id, p.parked_at FROM parked_messages p
    WHERE p.account_id = ANY(%(accounts)s) AND p.reason = r.reason LIMIT %(most)s) s
GROUP BY s.reason, s.lane_id
"""
_RECENT = """
SELECT r.sender_id, r.outgoing, r.error_code, r.is_last, count(*) FROM (
    SELECT sender_id, outgoing, error_code, id >= %(last)s AS is_last FROM messages
    WHERE account_id = ANY(%(accounts)s) AND id >= %(first)s LIMIT %(most)s) r
GROUP BY r.sender_id, r.outgoing, r.error_code, r.is_last
"""


def read_queue(
    conn: psycopg.Connection, lanes: Mapping[UUID, UUID], now: datetime
) -> dict[UUID, Queue]:
    """What waits, by lane, for those of ``lanes`` (each with its account) that have anything.

    A queue of more than 50,000 texts is estimated, except for what is in flight and the oldest
    text, which are read off the lanes' heads.
    """
    found: dict[UUID, Queue] = {}
    for group in placement(lanes.values()):
        params = {"accounts": list(group), "now": now, "most": MOST_QUEUED + 1}
        rows = conn.execute(_WHOLE.encode(), params).fetchall()
        if sum(row[1] for row in rows) > MOST_QUEUED:
            its = {lane: account for lane, account in lanes.items() if account in group}
            found |= _estimate(conn, its, now)
        else:
            found |= {row[0]: _queue(row, now) for row in rows}
    return found


def _estimate(
    conn: psycopg.Connection, lanes: Mapping[UUID, UUID], now: datetime
) -> dict[UUID, Queue]:
    accounts = list(set(lanes.values()))
    heads = conn.execute(
        _HEADS.encode(),
        {
            "accounts": accounts,
            "owners": list(lanes.values()),
            "lanes": list(lanes),
            "share": max(SHORTEST_HEAD, min(LONGEST_HEAD, HEADS // len(lanes))),
            "now": now,
        },
        binary=True,
    ).fetchall()
    size = conn.execute(
        "SELECT pg_relation_size('dispatch_queue') / current_setting('block_size')::int"
    ).fetchone()
    part = min(1.0, SAMPLE_BLOCKS / max(1, size[0] if size else 1))
    sample = conn.execute(
        _SAMPLE.encode(), {"accounts": accounts, "now": now, "percent": part * 100}
    ).fetchall()
    found = {row[0]: _queue(row, now) for row in heads}
    for row in sample:
        queue = found.setdefault(row[0], Queue())
        seen = _queue(row, now)
        queue.waiting = max(queue.waiting, round(seen.waiting / part))
        queue.later = max(queue.later, round(seen.later / part))
    for queue in found.values():
        queue.is_exact = False
    return found


def _queue(row: tuple[Any, ...], now: datetime) -> Queue:
    _, total, in_flight, later, due_since = row
    return Queue(total - in_flight - later, later, in_flight, _age_s(due_since, now))


def read_parked(
    conn: psycopg.Connection, accounts: Sequence[UUID], now: datetime
) -> dict[UUID, Parked]:
    """What is parked, by lane."""
    found: defaultdict[UUID, Parked] = defaultdict(Parked)
    for group in placement(accounts):
        rows = conn.execute(_PARKED, {"accounts": list(group), "most": MOST_PARKED + 1}).fetchall()
        totals: defaultdict[str, int] = defaultdict(int)
        for reason, _, count, _ in rows:
            totals[reason] += count
        for reason, lane, count, since in rows:
            parked = found[lane]
            parked.is_exact &= totals[reason] <= MOST_PARKED
            if reason == "no_credit":
                parked.no_credit += count
            else:
                parked.held += count
                parked.oldest_held_s = oldest(parked.oldest_held_s, _age_s(since, now))
    return dict(found)


@dataclass(slots=True)
class Recent:
    """Texts of the last while. ``by_lane``: outgoing ones a second, over the last minute."""

    accepted: Accepted
    errors: Errors
    by_lane: dict[UUID, float] = field(default_factory=dict[UUID, float])


def read_recent(conn: psycopg.Connection, accounts: Sequence[UUID], now: datetime) -> Recent:
    """Rates in, and errors by code, of the texts whose ids were made lately."""
    rows: list[tuple[Any, ...]] = []
    is_exact, window_s = False, 0.0
    for window_s in WINDOWS_S:
        rows, is_exact = _window(conn, accounts, now, window_s)
        if is_exact:
            break
    rate_s = min(window_s, RATE_S)
    outgoing = incoming = texts = 0
    by_code: defaultdict[str, int] = defaultdict(int)
    by_lane: defaultdict[UUID, float] = defaultdict(float)
    for lane, is_outgoing, code, is_last, count in rows:
        if is_outgoing:
            texts += count
            if code is not None:
                by_code[code] += count
        if not is_last:
            continue
        if is_outgoing:
            outgoing += count
            if lane is not None:
                by_lane[lane] += count / rate_s
        else:
            incoming += count
    return Recent(
        Accepted(outgoing / rate_s, incoming / rate_s, is_exact),
        Errors(window_s, texts, dict(sorted(by_code.items())), is_exact),
        dict(by_lane),
    )


def _window(
    conn: psycopg.Connection, accounts: Sequence[UUID], now: datetime, window_s: float
) -> tuple[list[tuple[Any, ...]], bool]:
    found: list[tuple[Any, ...]] = []
    is_exact = True
    for group in placement(accounts):
        rows = conn.execute(
            _RECENT,
            {
                "accounts": list(group),
                "first": bound_at(now - timedelta(seconds=window_s)),
                "last": bound_at(now - timedelta(seconds=min(window_s, RATE_S))),
                "most": MOST_RECENT + 1,
            },
        ).fetchall()
        is_exact &= sum(row[4] for row in rows) <= MOST_RECENT
        found += rows
    return found, is_exact


def _age_s(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else max(0.0, (now - since).total_seconds())
