"""Users and their membership in accounts; called by the command line and by groups.

The caller commits. A user is one person in all accounts, known by the e-mail address; what they
are called is not changed by the next account that takes them in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.accounts.service import get_account
from viesti.domain.users.models import Member, Role
from viesti.kit.errors import Conflict, Invalid, NotFound
from viesti.kit.ids import new_id
from viesti.sms.msisdn import parse_msisdn

# A local part, an at sign and a name with a dot: whether mail arrives only mail can tell.
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,250}\.[^@\s.\x00-\x1f]{2,63}")
MAX_NAME_CHARS = 200

_SELECT = """
SELECT u.id, u.email, u.first_name, u.last_name, coalesce(u.mobile, ''), u.mobile_country,
       m.role, u.terms_accepted_at, u.created_at
FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.account_id = %(account)s
"""


def add_user(
    conn: psycopg.Connection,
    *,
    account_id: UUID,
    email: str,
    role: Role,
    now: datetime,
    first_name: str = "",
    last_name: str = "",
    mobile: str = "",
) -> Member:
    """Make the person a member of the account, and a user if they are none yet.

    ``mobile`` is in international form or empty. Raises Invalid, NotFound (ACCT-008), and
    Conflict for one who is a member already.
    """
    get_account(conn, account_id)
    email = email.strip().lower()
    if not _EMAIL.fullmatch(email):
        raise Invalid(f"{email} is not an e-mail address.")
    first_name, last_name = first_name.strip(), last_name.strip()
    for name in (first_name, last_name):
        if len(name) > MAX_NAME_CHARS or (name and not name.isprintable()):
            raise Invalid(f"A name has at most {MAX_NAME_CHARS} printable characters.")
    number = parse_msisdn(mobile) if mobile else None
    if mobile and number is None:
        raise Invalid(f"{mobile} is not a mobile number in international form.")
    conn.execute(
        "INSERT INTO users (id, email, first_name, last_name, mobile, mobile_country,"
        " created_at, updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (email) DO NOTHING",
        (
            new_id(),
            email,
            first_name,
            last_name,
            number.e164 if number else None,
            number.country if number else "",
            now,
            now,
        ),
    )
    joined = conn.execute(
        "INSERT INTO memberships (account_id, user_id, role, created_at)"
        " SELECT %s, id, %s, %s FROM users WHERE email = %s"
        " ON CONFLICT (account_id, user_id) DO NOTHING RETURNING user_id",
        (account_id, role.value, now, email),
    ).fetchone()
    if joined is None:
        raise Conflict(f"{email} is a member of the account already.")
    return get_member(conn, account_id, joined[0])


def get_member(conn: psycopg.Connection, account_id: UUID, user_id: UUID) -> Member:
    """Raises NotFound for one who is no member of the account."""
    found = find_members(conn, account_id, [user_id]).get(user_id)
    if found is None:
        raise NotFound("The account has no such user.")
    return found


def find_members(
    conn: psycopg.Connection, account_id: UUID, ids: Sequence[UUID]
) -> dict[UUID, Member]:
    """The account's members among ``ids``."""
    rows = conn.execute(
        _SELECT + "AND m.user_id = ANY(%(ids)s) ORDER BY u.id",
        {"account": account_id, "ids": list(ids)},
    ).fetchall()
    return {row[0]: _member(row) for row in rows}


def list_members(conn: psycopg.Connection, account_id: UUID) -> list[Member]:
    """All members of the account, in the order in which they became users.

    Raises NotFound (ACCT-008).
    """
    get_account(conn, account_id)
    rows = conn.execute(_SELECT + "ORDER BY u.id", {"account": account_id}).fetchall()
    return [_member(row) for row in rows]


def find_member_by_email(conn: psycopg.Connection, account_id: UUID, email: str) -> Member | None:
    row = conn.execute(
        _SELECT + "AND u.email = %(email)s",
        {"account": account_id, "email": email.strip().lower()},
    ).fetchone()
    return _member(row) if row else None


def _member(row: Sequence[Any]) -> Member:
    return Member(
        id=row[0],
        email=row[1],
        first_name=row[2],
        last_name=row[3],
        mobile=row[4],
        mobile_country=row[5],
        role=Role(row[6]),
        terms_accepted_at=row[7],
        created_at=row[8],
    )
