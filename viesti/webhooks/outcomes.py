"""Writes down what became of claimed deliveries; called by the delivery engine in batches.

Commits nothing. What an endpoint accepted is deleted; what failed is put off or kept as dead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.db.placement import placement
from viesti.domain.webhook_endpoints.service import disable_webhook
from viesti.kit.ids import new_id
from viesti.webhooks.claim import Claimed, delete_deliveries, pairs


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished attempt, and when the next one is due.

    ``accepted``: the endpoint took it. Else ``retry_at`` None means that it is given up;
    ``gone`` that the endpoint wants to hear nothing more (HTTP 410).
    """

    delivery: Claimed
    accepted: bool
    retry_at: datetime | None
    gone: bool
    status_code: int | None
    error: str
    response: str
    duration_ms: int
    at: datetime


_RETRY = """
UPDATE webhook_deliveries AS d SET attempts = p.attempts, state = p.state,
  not_before = p.not_before, claimed_by = NULL
FROM unnest(%(pair_accounts)b::uuid[], %(pair_ids)b::uuid[], %(attempts)b::int[],
  %(states)b::text[], %(moments)b::timestamptz[]) AS p(account_id, id, attempts, state, not_before)
WHERE d.account_id = ANY(%(accounts)b) AND d.account_id = p.account_id AND d.id = p.id
  AND d.claimed_by = %(worker)s
"""

_RELEASE = """
UPDATE webhook_deliveries SET not_before = %(now)s, claimed_by = NULL
WHERE account_id = ANY(%(accounts)b) AND claimed_by = %(worker)s AND (account_id, id) IN (
  SELECT * FROM unnest(%(pair_accounts)b::uuid[], %(pair_ids)b::uuid[]))
"""


def record_outcomes(conn: psycopg.Connection, worker_id: UUID, outcomes: Sequence[Outcome]) -> None:
    """Write the attempts down, take what was accepted off the table, put the rest off."""
    by_account: defaultdict[UUID, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_account[outcome.delivery.account_id].append(outcome)
    for members in placement(by_account):
        group = [outcome for account in members for outcome in by_account[account]]
        _record_group(conn, worker_id, list(members), group)


def _record_group(
    conn: psycopg.Connection, worker_id: UUID, accounts: list[UUID], outcomes: list[Outcome]
) -> None:
    for outcome in outcomes:
        if outcome.gone:
            disable_webhook(
                conn,
                outcome.delivery.account_id,
                outcome.delivery.webhook_id,
                "The endpoint answered 410 Gone.",
                outcome.at,
            )
    with conn.cursor().copy(
        "COPY webhook_attempts (account_id, id, webhook_id, event_id, attempt, status_code,"
        " error, response, duration_ms, at) FROM STDIN (FORMAT BINARY)"
    ) as copy:
        copy.set_types(
            ["uuid", "uuid", "uuid", "uuid", "int2", "int4", "text", "text", "int4", "timestamptz"]
        )
        for outcome in outcomes:
            delivery = outcome.delivery
            copy.write_row(
                (
                    delivery.account_id,
                    new_id(),
                    delivery.webhook_id,
                    delivery.event_id,
                    delivery.attempts + 1,
                    outcome.status_code,
                    outcome.error,
                    outcome.response,
                    outcome.duration_ms,
                    outcome.at,
                )
            )
    delete_deliveries(
        conn, accounts, [_key(outcome.delivery) for outcome in outcomes if outcome.accepted]
    )
    failed = [outcome for outcome in outcomes if not outcome.accepted]
    if failed:
        conn.execute(
            _RETRY,
            {
                **pairs(accounts, [_key(outcome.delivery) for outcome in failed]),
                "worker": worker_id,
                "attempts": [outcome.delivery.attempts + 1 for outcome in failed],
                "states": ["dead" if o.retry_at is None else "due" for o in failed],
                "moments": [outcome.retry_at or outcome.at for outcome in failed],
            },
        )


def release(
    conn: psycopg.Connection, worker_id: UUID, deliveries: Sequence[Claimed], now: datetime
) -> None:
    """Give back what was claimed and not begun, so that another worker can take it at once."""
    for members in placement(delivery.account_id for delivery in deliveries):
        keys = [_key(delivery) for delivery in deliveries if delivery.account_id in members]
        conn.execute(_RELEASE, {**pairs(list(members), keys), "worker": worker_id, "now": now})


def _key(delivery: Claimed) -> tuple[UUID, UUID]:
    return delivery.account_id, delivery.id
