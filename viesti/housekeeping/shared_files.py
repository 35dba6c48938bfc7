"""Takes the octets of expired files away, then their links and rows; a job of the ``work`` role."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import obstore
import psycopg
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from viesti.db.placement import placement
from viesti.kit.errors import Unavailable

AT_ONCE = 500
# So long an expired link says that it has expired (410), then that there is none (404).
REMEMBERED = timedelta(days=30)
# An upload that is not stored by then never will be.
ARRIVES_WITHIN = timedelta(hours=1)


def remove_expired_files(
    objects: ObjectStore,
) -> Callable[[psycopg.Connection, datetime], bool]:
    """The piece for ``housekeeping.schedule``; True: more is left."""

    def piece(conn: psycopg.Connection, now: datetime) -> bool:
        more = False
        for group in _groups(conn):
            rows = conn.execute(
                "(SELECT account_id, id FROM files WHERE account_id = ANY(%(accounts)s)"
                "  AND removed_at IS NULL AND expires_at <= %(now)s LIMIT %(limit)s)"
                " UNION (SELECT account_id, id FROM files WHERE account_id = ANY(%(accounts)s)"
                "  AND removed_at IS NULL AND stored_at IS NULL AND created_at <= %(lost)s"
                "  LIMIT %(limit)s)",
                {
                    "accounts": list(group),
                    "now": now,
                    "lost": now - ARRIVES_WITHIN,
                    "limit": AT_ONCE,
                },
            ).fetchall()
            if not rows:
                continue
            # The network is not waited for within a transaction, so the read ends here.
            conn.commit()
            _remove(objects, [f"{account}/{file}" for account, file in rows])
            for account, file in rows:
                conn.execute(
                    "UPDATE files SET removed_at = %s WHERE account_id = %s AND id = %s",
                    (now, account, file),
                )
            more = more or len(rows) >= AT_ONCE
        return more

    return piece


def forget_removed_files(conn: psycopg.Connection, now: datetime) -> bool:
    """Drop the rows and links of files that were taken away long ago."""
    more = False
    for group in _groups(conn):
        gone = conn.execute(
            "DELETE FROM files WHERE account_id = ANY(%(accounts)s) AND (account_id, id) IN ("
            " SELECT account_id, id FROM files WHERE account_id = ANY(%(accounts)s)"
            " AND removed_at <= %(before)s LIMIT %(limit)s) RETURNING account_id, id",
            {"accounts": list(group), "before": now - REMEMBERED, "limit": AT_ONCE},
        ).fetchall()
        conn.execute(
            "DELETE FROM file_links l USING unnest(%s::uuid[], %s::uuid[]) AS g(account, file)"
            " WHERE l.account_id = g.account AND l.file_id = g.file",
            ([row[0] for row in gone], [row[1] for row in gone]),
        )
        more = more or len(gone) == AT_ONCE
    return more


def _remove(objects: ObjectStore, keys: list[str]) -> None:
    for key in keys:
        try:
            obstore.delete(objects, key)
        except FileNotFoundError:
            continue  # taken away by a run whose row was not written
        except (BaseError, OSError) as error:
            raise Unavailable("The place where files lie does not answer.") from error


def _groups(conn: psycopg.Connection) -> list[Any]:
    return list(placement([row[0] for row in conn.execute("SELECT id FROM accounts")]))
