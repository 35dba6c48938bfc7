"""Starts that a client repeats with the same Idempotency-Key: a run is not made twice.

Called by the API. As with sends, the key is written in the transaction of what it stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.domain.campaigns.runs import Acted
from viesti.domain.campaigns.store import get_campaign, load_runs
from viesti.domain.messages.idempotency import Key, claim_key, store_answer


def start_once(
    conn: psycopg.Connection,
    key: Key | None,
    body: bytes,
    now: datetime,
    start: Callable[[psycopg.Connection], Acted],
) -> Acted:
    """What ``start`` gives; for a key that was used before, the campaign and its run of then.

    Raises what ``claim_key`` and ``start`` raise, NotFound (CAMP-001) if it was deleted since.
    """
    if key is None:
        return start(conn)
    answered = claim_key(conn, key, body, now)
    if answered is not None:
        runs = load_runs(conn, key.account_id, [UUID(answered["runId"])])
        campaign = get_campaign(conn, key.account_id, answered["campaignId"])
        return Acted(campaign, runs[0] if runs else None)
    acted = start(conn)
    assert acted.run is not None
    store_answer(conn, key, {"campaignId": str(acted.campaign.id), "runId": str(acted.run.id)})
    return acted
