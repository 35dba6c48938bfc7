"""Writes down shared files and finds them by their links; the octets lie in ``kit/objects.py``.

A row stands before its octets are stored and says when they are, so that nothing is left behind
that no row knows of. Called by the API; ``housekeeping/shared_files.py`` clears up.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from viesti.kit.errors import NotFound, Unavailable
from viesti.kit.ids import new_id

# 96 bits: a link can be passed on, but not guessed (product.md section 3.5).
_TOKEN_OCTETS = 12
MAX_NAME_CHARS = 200


class FileNotFound(NotFound):
    """No such link, or a file that never arrived whole."""


class FileExpired(NotFound):
    """The link was good once."""


@dataclass(frozen=True, slots=True)
class SharedFile:
    """``key`` is where the octets lie, ``token`` the part of the link that names the file."""

    account_id: UUID
    id: UUID
    token: str
    key: str
    name: str
    media_type: str
    octets: int
    expires_at: datetime


def begin_file(
    conn: psycopg.Connection,
    account_id: UUID,
    *,
    name: str,
    media_type: str,
    octets: int,
    lifetime: timedelta,
    now: datetime,
) -> SharedFile:
    """Write down a file whose octets are about to be stored; not readable until ``finish_file``."""
    file_id = new_id()
    file = SharedFile(
        account_id,
        file_id,
        secrets.token_urlsafe(_TOKEN_OCTETS),
        f"{account_id}/{file_id}",
        name[:MAX_NAME_CHARS],
        media_type,
        octets,
        now + lifetime,
    )
    conn.execute(
        "INSERT INTO files (account_id, id, name, media_type, octets, created_at, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (account_id, file_id, file.name, media_type, octets, now, file.expires_at),
    )
    conn.execute(
        "INSERT INTO file_links (token, account_id, file_id) VALUES (%s, %s, %s)",
        (file.token, account_id, file_id),
    )
    return file


def finish_file(conn: psycopg.Connection, file: SharedFile, now: datetime) -> None:
    """The octets are stored: the link works from now on.

    Raises Unavailable if they took so long that the file was given up as lost.
    """
    done = conn.execute(
        "UPDATE files SET stored_at = %s WHERE account_id = %s AND id = %s AND removed_at IS NULL",
        (now, file.account_id, file.id),
    )
    if not done.rowcount:
        raise Unavailable("The file took too long to be stored; retry in a moment.")


def get_shared_file(conn: psycopg.Connection, token: str, now: datetime) -> SharedFile:
    """The file behind a link. Raises FileNotFound (FILE-001) or FileExpired (FILE-004)."""
    link = conn.execute(
        "SELECT account_id, file_id FROM file_links WHERE token = %s", (token,)
    ).fetchone()
    row = (
        conn.execute(
            "SELECT name, media_type, octets, expires_at, stored_at FROM files"
            " WHERE account_id = %s AND id = %s",
            link,
        ).fetchone()
        if link
        else None
    )
    if link is None or row is None or row[4] is None:
        raise FileNotFound("There is no such file.", "FILE-001")
    if row[3] <= now:
        raise FileExpired("The link has expired.", "FILE-004")
    return SharedFile(link[0], link[1], token, f"{link[0]}/{link[1]}", *row[:4])
