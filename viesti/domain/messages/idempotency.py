"""Requests that a client repeats with the same Idempotency-Key; used by the send.

The key is written in the send's own transaction: a twin under way waits on the row, and a
crash leaves neither key nor messages. Scope: account, credential, operation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.errors import LockNotAvailable
from psycopg.types.json import Jsonb

from viesti.kit.errors import Conflict, Invalid

TWIN_WAIT_S = 5
MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Key:
    account_id: UUID
    credential_id: UUID
    operation: str
    key: str


def claim_key(
    conn: psycopg.Connection, key: Key, body: bytes, now: datetime
) -> dict[str, Any] | None:
    """None if the key is new (and now ours); else what was answered to its first use.

    Raises Conflict GEN-409 while a twin is under way, Invalid GEN-422 if the key was used with
    another body.
    """
    if not 1 <= len(key.key) <= MAX_KEY_LENGTH:
        raise Invalid(f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters.")
    digest = hashlib.sha256(body).digest()
    try:
        conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{TWIN_WAIT_S}s",))
        done = conn.execute(
            "INSERT INTO idempotency_keys"
            " (account_id, credential_id, operation, key, body_hash, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (key.account_id, key.credential_id, key.operation, key.key, digest, now),
        )
    except LockNotAvailable as error:
        raise Conflict(
            "A request with this Idempotency-Key is still under way: try again in a moment."
        ) from error
    conn.execute("SET LOCAL lock_timeout = DEFAULT")
    if done.rowcount == 1:
        return None
    row = conn.execute(
        "SELECT body_hash, answer FROM idempotency_keys WHERE account_id = %s"
        " AND credential_id = %s AND operation = %s AND key = %s",
        (key.account_id, key.credential_id, key.operation, key.key),
    ).fetchone()
    if row is None or row[1] is None:
        raise Conflict("The first request with this Idempotency-Key did not finish: try again.")
    if bytes(row[0]) != digest:
        raise Invalid("This Idempotency-Key was used with another request body.", "GEN-422")
    return row[1]


def store_answer(conn: psycopg.Connection, key: Key, answer: dict[str, Any]) -> None:
    conn.execute(
        "UPDATE idempotency_keys SET answer = %s WHERE account_id = %s AND credential_id = %s"
        " AND operation = %s AND key = %s",
        (Jsonb(answer), key.account_id, key.credential_id, key.operation, key.key),
    )
