"""Takes back texts that have not begun to leave; called by the API, the hub and ``control``.

The row in the queue is deleted under its lock. A dispatcher starts an attempt by updating that
very row, so that of a start and a cancellation at the same moment exactly one happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.messages.progress import Advanced, Step, advance
from viesti.domain.messages.queries import MESSAGE_NOT_FOUND
from viesti.domain.messages.states import Status
from viesti.kit.errors import Conflict, NotFound
from viesti.kit.ids import find_id

TOO_LATE = "MSG-100"


def cancel_message(conn: psycopg.Connection, account_id: UUID, message_id: str) -> Advanced:
    """Cancel one text; its price is released, once. A canceled one may be canceled again.

    Raises NotFound (MSG-002), and Conflict (MSG-100) once it has begun to leave or has ended.
    """
    found = find_id(message_id)
    row = (
        conn.execute(
            "SELECT status FROM messages WHERE account_id = %s AND id = %s", (account_id, found)
        ).fetchone()
        if found
        else None
    )
    if row is None or found is None:
        raise NotFound("There is no such message.", MESSAGE_NOT_FOUND)
    advanced = cancel_texts(conn, account_id, [found])
    # Of two cancellations at once the second finds the row gone, and the text canceled.
    if not advanced.changed and not _is_canceled(conn, account_id, found):
        raise Conflict(
            f"The message is {row[0]}: it has left or begun to leave, or has ended.", TOO_LATE
        )
    return advanced


def cancel_texts(conn: psycopg.Connection, account_id: UUID, ids: Sequence[UUID]) -> Advanced:
    """Cancel those texts of ``ids`` that have not begun to leave."""
    if not ids:
        return Advanced()
    params = {
        "account": account_id,
        "ids": list(ids),
        "first": min(ids),
        "last": max(ids),
    }
    found = _take_queued(conn, params)
    parked = conn.execute(
        "DELETE FROM parked_messages WHERE account_id = %(account)s AND message_id IN ("
        " SELECT message_id FROM parked_messages WHERE account_id = %(account)s"
        "  AND message_id = ANY(%(ids)b) AND message_id BETWEEN %(first)s AND %(last)s"
        "  AND reason IN ('no_credit', 'paused') ORDER BY message_id FOR UPDATE)"
        " AND message_id BETWEEN %(first)s AND %(last)s RETURNING message_id",
        params,
    ).fetchall()
    found += [row[0] for row in parked]
    if len(found) < len(ids):
        # Credit or a resumed job may have moved some back into the queue in between.
        found += _take_queued(conn, params)
    return advance(
        conn, [Step(account_id, message_id, becomes=Status.CANCELED) for message_id in found]
    )


def _take_queued(conn: psycopg.Connection, params: dict[str, Any]) -> list[UUID]:
    rows = conn.execute(
        "DELETE FROM dispatch_queue WHERE account_id = %(account)s AND message_id IN ("
        " SELECT message_id FROM dispatch_queue WHERE account_id = %(account)s"
        "  AND message_id = ANY(%(ids)b) AND message_id BETWEEN %(first)s AND %(last)s"
        "  AND started = 0 ORDER BY message_id FOR UPDATE)"
        " AND message_id BETWEEN %(first)s AND %(last)s AND started = 0 RETURNING message_id",
        params,
    ).fetchall()
    return [row[0] for row in rows]


def _is_canceled(conn: psycopg.Connection, account_id: UUID, message_id: UUID) -> bool:
    row = conn.execute(
        "SELECT status FROM messages WHERE account_id = %s AND id = %s", (account_id, message_id)
    ).fetchone()
    return row is not None and row[0] == Status.CANCELED.value
