"""Accounts, their balance and their API clients; called by the command line and the hub.

The caller commits.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.domain.accounts.models import (
    DEFAULT_GROUP_NAME,
    Account,
    Credential,
    NewCredential,
    Profile,
)
from viesti.kit.errors import Invalid, NotFound
from viesti.kit.ids import new_id
from viesti.kit.secrets import PlatformKey

SECRET_PURPOSE = "client-secret"  # noqa: S105 (the name of a purpose, not a secret)
SECRET_BYTES = 32
NAME_LIMIT = 200
MONEY_LIMIT_MICROS = 10**15  # a thousand million dollars: beyond it somebody mistyped


def create_account(
    conn: psycopg.Connection,
    *,
    name: str,
    balance_micros: int,
    now: datetime,
    notice: bool = False,
    quiet_hours: bool = False,
    default_country: str = "US",
) -> Account:
    """A new account with its opening balance. Raises Invalid for a name that texts cannot show."""
    name = name.strip()
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise Invalid(f"An account's name has 1 to {NAME_LIMIT} printable characters.", "ACCT-013")
    if not 0 <= balance_micros <= MONEY_LIMIT_MICROS:
        raise Invalid("The opening balance must be between 0 and a thousand million.")
    account = Account(new_id(), name, notice, quiet_hours, now)
    conn.execute(
        "INSERT INTO accounts (id, name, default_country, notice, quiet_hours, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (account.id, name, default_country, notice, quiet_hours, now),
    )
    conn.execute(
        "INSERT INTO balances (account_id, available_micros, reserved_micros, updated_at)"
        " VALUES (%s, %s, 0, %s)",
        (account.id, balance_micros, now),
    )
    _enter(conn, account.id, "opening", balance_micros, "", now)
    # Its default group (domain/groups), which clients know by the account's own id.
    conn.execute(
        "INSERT INTO groups (account_id, id, name, is_default, created_at, updated_at)"
        " VALUES (%(id)s, %(id)s, %(name)s, true, %(now)s, %(now)s)",
        {"id": account.id, "name": DEFAULT_GROUP_NAME, "now": now},
    )
    return account


def get_account(conn: psycopg.Connection, account_id: UUID) -> Account:
    """Raises NotFound."""
    row = conn.execute(
        "SELECT id, name, notice, quiet_hours, created_at FROM accounts WHERE id = %s",
        (account_id,),
    ).fetchone()
    if row is None:
        raise NotFound("There is no such account.", "ACCT-008")
    return Account(*row)


def top_up(
    conn: psycopg.Connection, account_id: UUID, amount_micros: int, *, now: datetime, note: str = ""
) -> int:
    """Add money; returns what is available then, in micro-units. Raises NotFound, Invalid."""
    if not 0 < amount_micros <= MONEY_LIMIT_MICROS:
        raise Invalid("The amount must be above 0 and at most a thousand million.")
    # The balance row last: every text of the account waits for it.
    _enter(conn, account_id, "top_up", amount_micros, note, now)
    row = conn.execute(
        "UPDATE balances SET available_micros = available_micros + %s, updated_at = %s"
        " WHERE account_id = %s RETURNING available_micros",
        (amount_micros, now, account_id),
    ).fetchone()
    if row is None:
        raise NotFound("There is no such account.", "ACCT-008")
    return int(row[0])


def _enter(
    conn: psycopg.Connection,
    account_id: UUID,
    kind: str,
    amount_micros: int,
    note: str,
    now: datetime,
) -> None:
    conn.execute(
        "INSERT INTO ledger (account_id, id, kind, amount_micros, note, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (account_id, new_id(), kind, amount_micros, note, now),
    )


def create_credentials(
    conn: psycopg.Connection,
    key: PlatformKey,
    account_id: UUID,
    *,
    now: datetime,
    name: str = "",
    profile: Profile = Profile.PUBLISHED,
) -> NewCredential:
    """A new API client with a random secret, of which only a keyed hash is kept.

    Raises NotFound.
    """
    get_account(conn, account_id)
    made = NewCredential(new_id(), account_id, secrets.token_urlsafe(SECRET_BYTES))
    conn.execute(
        "INSERT INTO api_credentials (id, account_id, name, secret_hash, profile, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (
            made.client_id,
            account_id,
            name,
            key.hash_secret(SECRET_PURPOSE, made.client_secret),
            profile.value,
            now,
        ),
    )
    return made


def list_credentials(conn: psycopg.Connection, account_id: UUID) -> list[Credential]:
    """All API clients of the account, revoked ones too, oldest first. Raises NotFound."""
    get_account(conn, account_id)
    rows = conn.execute(
        "SELECT id, account_id, name, profile, created_at, revoked_at FROM api_credentials"
        " WHERE account_id = %s ORDER BY id",
        (account_id,),
    ).fetchall()
    return [Credential(r[0], r[1], r[2], Profile(r[3]), r[4], r[5]) for r in rows]


def revoke_credentials(
    conn: psycopg.Connection, account_id: UUID, client_id: UUID, *, now: datetime
) -> datetime:
    """Take an API client's access away for good; returns since when. Raises NotFound."""
    row = conn.execute(
        "UPDATE api_credentials SET revoked_at = coalesce(revoked_at, %s)"
        " WHERE account_id = %s AND id = %s RETURNING revoked_at",
        (now, account_id, client_id),
    ).fetchone()
    if row is None:
        raise NotFound("The account has no such API client.")
    revoked_at: datetime = row[0]
    return revoked_at
