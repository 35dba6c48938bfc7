"""What an account has settled about its texts; read once per send."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import psycopg

from viesti.kit.errors import NotFound


@dataclass(frozen=True, slots=True)
class Terms:
    """``id`` is the account's; the rest are its settings (product decisions, section 5)."""

    id: UUID
    name: str
    default_country: str
    time_zone: str
    notice: bool
    notice_text: str | None
    quiet_hours: bool
    smart_encoding: bool
    duplicate_guard: bool


def get_terms(conn: psycopg.Connection, account_id: UUID) -> Terms:
    """Raises NotFound (ACCT-008) for an account that is unknown or disabled."""
    row = conn.execute(
        "SELECT id, name, default_country, time_zone, notice, notice_text, quiet_hours,"
        " smart_encoding, duplicate_guard FROM accounts WHERE id = %s AND disabled_at IS NULL",
        (account_id,),
    ).fetchone()
    if row is None:
        raise NotFound("There is no such account for this token.", "ACCT-008")
    return Terms(*row)
