"""Claims due deliveries, with the bodies that they carry.

Called by the delivery engine from worker threads; commits nothing. A claim pushes ``not_before`` ahead as a
lease: deliveries of a worker that was killed are due again when it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from viesti.db.placement import placement
from viesti.webhooks.payload import build_bodies
from viesti.webhooks.things import EventRow


@dataclass(frozen=True, slots=True)
class Quota:
    """How many deliveries to take for one webhook, at most."""

    account_id: UUID
    webhook_id: UUID
    limit: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is this worker's until its lease ends; ``attempts`` were made before."""

    account_id: UUID
    id: UUID
    webhook_id: UUID
    event_id: UUID
    conversation_id: UUID | None
    attempts: int
    created_at: datetime
    body: str


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook's deliveries go, and its secret as stored."""

    webhook_id: UUID
    url: str
    secret_encrypted: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    deliveries: list[Claimed]
    targets: dict[UUID, Target]


# One look per live webhook at the head of its queue, by the index of due deliveries.
_DUE = """
SELECT w.account_id, w.id FROM webhooks w
CROSS JOIN LATERAL (
  SELECT d.not_before FROM webhook_deliveries d
  WHERE d.account_id = w.account_id AND d.webhook_id = w.id AND d.state = 'due'
    AND d.not_before <= %(now)s
  ORDER BY d.not_before LIMIT 1) AS due
WHERE w.disabled_at IS NULL
"""

_CLAIM = """
UPDATE webhook_deliveries SET claimed_by = %(worker)s, not_before = %(lease)s
WHERE account_id = ANY(%(accounts)b) AND (account_id, id) IN (
  SELECT c.account_id, c.id
  FROM unnest(%(quota_accounts)b::uuid[], %(quota_webhooks)b::uuid[], %(quotas)b::int[])
    AS q(account_id, webhook_id, quota)
  CROSS JOIN LATERAL (
    SELECT d.account_id, d.id FROM webhook_deliveries d
    WHERE d.account_id = ANY(%(accounts)b) AND d.account_id = q.account_id
      AND d.webhook_id = q.webhook_id AND d.state = 'due' AND d.not_before <= %(now)s
    ORDER BY d.not_before, d.id LIMIT q.quota FOR UPDATE SKIP LOCKED) c)
RETURNING account_id, id, webhook_id, event_id, attempts, created_at
"""

_TARGETS = """
SELECT id, url, secret_encrypted FROM webhooks
WHERE account_id = ANY(%(accounts)b) AND id = ANY(%(webhooks)b) AND disabled_at IS NULL
"""

_EVENTS = """
SELECT e.account_id, e.id, e.type, e.contact_id, e.conversation_id, e.message_id, e.facts,
       e.created_at, e.payload
FROM events e
WHERE e.account_id = ANY(%(accounts)b) AND (e.account_id, e.id) IN (
  SELECT * FROM unnest(%(pair_accounts)b::uuid[], %(pair_ids)b::uuid[]))
"""

_STORE = """
UPDATE events SET payload = p.body
FROM unnest(%(pair_accounts)b::uuid[], %(pair_ids)b::uuid[], %(bodies)b::text[])
  AS p(account_id, id, body)
WHERE events.account_id = ANY(%(accounts)b) AND events.account_id = p.account_id
  AND events.id = p.id AND events.payload IS NULL
RETURNING events.id
"""


def find_due(conn: psycopg.Connection, now: datetime) -> list[tuple[UUID, UUID]]:
    """(account, webhook) of each live webhook for which a delivery is due."""
    return [(row[0], row[1]) for row in conn.execute(_DUE, {"now": now})]


def find_live(conn: psycopg.Connection, webhooks: Sequence[tuple[UUID, UUID]]) -> set[UUID]:
    """Those of the (account, webhook) pairs that still want to hear."""
    live: set[UUID] = set()
    for members in placement(account for account, _ in webhooks):
        params = {"accounts": list(members), "webhooks": [webhook for _, webhook in webhooks]}
        live.update(row[0] for row in conn.execute(_TARGETS, params))
    return live


def claim(
    conn: psycopg.Connection,
    worker_id: UUID,
    quotas: Sequence[Quota],
    now: datetime,
    lease_s: float,
) -> Claim:
    """Take due deliveries within ``quotas``, with their bodies; earliest due first.

    Bodies that were not rendered before are rendered and stored here, so that every later
    attempt says the same. A delivery whose event is gone (retention) is dropped.
    """
    deliveries: list[Claimed] = []
    targets: dict[UUID, Target] = {}
    lease = now + timedelta(seconds=lease_s)
    for members in placement(quota.account_id for quota in quotas):
        accounts = list(members)
        mine = [quota for quota in quotas if quota.account_id in members]
        rows = conn.execute(
            _CLAIM,
            {
                "worker": worker_id,
                "lease": lease,
                "now": now,
                "accounts": accounts,
                "quota_accounts": [quota.account_id for quota in mine],
                "quota_webhooks": [quota.webhook_id for quota in mine],
                "quotas": [quota.limit for quota in mine],
            },
            binary=True,
        ).fetchall()
        if not rows:
            continue
        bodies = _load_bodies(conn, accounts, {(row[0], row[3]) for row in rows})
        found = conn.execute(
            _TARGETS, {"accounts": accounts, "webhooks": list({row[2] for row in rows})}
        )
        targets.update({row[0]: Target(row[0], row[1], row[2]) for row in found})
        lost: list[tuple[UUID, UUID]] = []
        for account_id, id_, webhook_id, event_id, attempts, created_at in rows:
            body = bodies.get(event_id)
            if body is None:
                lost.append((account_id, id_))
                continue
            conversation_id, text = body
            deliveries.append(
                Claimed(
                    account_id,
                    id_,
                    webhook_id,
                    event_id,
                    conversation_id,
                    attempts,
                    created_at,
                    text,
                )
            )
        delete_deliveries(conn, accounts, lost)
    # Ids ascend with time: within an endpoint the first that happened goes first.
    deliveries.sort(key=lambda delivery: delivery.event_id)
    return Claim(deliveries, targets)


def _load_bodies(
    conn: psycopg.Connection, accounts: list[UUID], keys: set[tuple[UUID, UUID]]
) -> dict[UUID, tuple[UUID | None, str]]:
    """(conversation, body) of each event by its id."""
    bodies: dict[UUID, tuple[UUID | None, str]] = {}
    fresh: list[EventRow] = []
    for row in conn.execute(_EVENTS, pairs(accounts, list(keys)), binary=True):
        if row[8] is None:
            fresh.append(EventRow(*row[:8]))
        else:
            bodies[row[1]] = (row[4], row[8])
    if not fresh:
        return bodies
    texts = build_bodies(conn, accounts, fresh)
    # In the order of ids, in which another worker writes the same events for another webhook:
    # so the two wait for each other rather than deadlock.
    fresh.sort(key=lambda event: event.id)
    mine = pairs(accounts, [(event.account_id, event.id) for event in fresh])
    stored = conn.execute(_STORE, {**mine, "bodies": [texts[event.id] for event in fresh]})
    ours = {row[0] for row in stored}
    bodies.update({e.id: (e.conversation_id, texts[e.id]) for e in fresh if e.id in ours})
    theirs = [(event.account_id, event.id) for event in fresh if event.id not in ours]
    if theirs:
        for row in conn.execute(_EVENTS, pairs(accounts, theirs), binary=True):
            bodies[row[1]] = (row[4], row[8])
    return bodies


_DELETE = """
DELETE FROM webhook_deliveries WHERE account_id = ANY(%(accounts)b) AND (account_id, id) IN (
  SELECT * FROM unnest(%(pair_accounts)b::uuid[], %(pair_ids)b::uuid[]))
"""


def delete_deliveries(
    conn: psycopg.Connection, accounts: list[UUID], keys: Sequence[tuple[UUID, UUID]]
) -> None:
    """Take deliveries, by (account, id), off the table."""
    if keys:
        conn.execute(_DELETE, pairs(accounts, keys))


def pairs(accounts: list[UUID], keys: Sequence[tuple[UUID, UUID]]) -> dict[str, object]:
    """Parameters that name rows by two arrays, and their accounts for routing."""
    return {
        "accounts": accounts,
        "pair_accounts": [key[0] for key in keys],
        "pair_ids": [key[1] for key in keys],
    }
