"""Makes groups and says which senders and users belong to them; called by the command line.

The caller commits. A group's row is locked while something joins it, so that two that join at
once see each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.domain.accounts.service import get_account
from viesti.domain.groups.models import Group
from viesti.domain.groups.queries import get_group
from viesti.domain.senders.choice import calling_code, find_senders
from viesti.domain.users.service import get_member
from viesti.kit.errors import Conflict, Invalid, NotFound
from viesti.kit.ids import new_id

MAX_NAME_CHARS = 100
MAX_TAGS = 100
MAX_GROUPS = 500  # as many as clients in use ask for at once (api-current.md section 9)


def create_group(
    conn: psycopg.Connection,
    account_id: UUID,
    *,
    name: str,
    now: datetime,
    tags: Sequence[str] = (),
    use_shared_pool: bool = False,
) -> Group:
    """A new group without senders and users.

    ``use_shared_pool``: whether its texts may leave from a sender of the default group where
    none of its own fits. Raises Invalid, NotFound (ACCT-008), and Conflict for a name that is
    taken.
    """
    get_account(conn, account_id)
    name = " ".join(name.split())
    cleaned = list(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
    for text in (name, *cleaned):
        if not text or len(text) > MAX_NAME_CHARS or not text.isprintable():
            raise Invalid(f"Names and tags have 1 to {MAX_NAME_CHARS} printable characters.")
    if len(cleaned) > MAX_TAGS:
        raise Invalid(f"A group has at most {MAX_TAGS} tags.")
    count = conn.execute(
        "SELECT count(*) FROM groups WHERE account_id = %s", (account_id,)
    ).fetchone()
    if count and count[0] >= MAX_GROUPS:
        raise Conflict(f"An account has at most {MAX_GROUPS} groups.")
    made = conn.execute(
        "INSERT INTO groups (account_id, id, name, tags, use_shared_pool, created_at, updated_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (account_id, name) DO NOTHING RETURNING id",
        (account_id, new_id(), name, cleaned, use_shared_pool, now, now),
    ).fetchone()
    if made is None:
        raise Conflict(f"The account has a group named {name} already.")
    return get_group(conn, account_id, str(made[0]))


def move_sender(
    conn: psycopg.Connection, account_id: UUID, group_id: str, number: str, now: datetime
) -> Group:
    """Give the account's sender ``number`` to the group; it leaves the one it was in.

    Raises NotFound (GRP-001; the sender), and Conflict if the group has another sender with
    the same calling code: replies would not know which to leave from. The default group takes
    any, for it holds what no other group has.
    """
    group = get_group(conn, account_id, group_id, lock=True)
    # A number may be on several carriers; then all of it moves.
    wanted = number.strip()
    moving = [sender for sender in find_senders(conn, account_id) if sender.number == wanted]
    if not moving:
        raise NotFound(f"The account has no sender {wanted}.")
    code = calling_code(wanted)
    others = [sender.number for sender in group.senders if sender.number != wanted]
    if not group.is_default and code and code in map(calling_code, others):
        raise Conflict(f"The group has a sender with the calling code +{code} already.")
    conn.execute(
        "UPDATE senders SET group_id = %s WHERE account_id = %s AND id = ANY(%s)",
        (
            None if group.is_default else group.id,
            account_id,
            [sender.id for sender in moving],
        ),
    )
    _touch(conn, account_id, {group.id, *(sender.group_id for sender in moving)}, now)
    return get_group(conn, account_id, group_id)


def add_reader(
    conn: psycopg.Connection, account_id: UUID, group_id: str, user_id: UUID, now: datetime
) -> Group:
    """Let a member of the account read and answer the group's conversations.

    Doing it twice changes nothing. Raises NotFound (GRP-001; the user).
    """
    group = get_group(conn, account_id, group_id, lock=True)
    get_member(conn, account_id, user_id)
    conn.execute(
        "INSERT INTO group_users (account_id, group_id, user_id, joined_at)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT (account_id, group_id, user_id) DO NOTHING",
        (account_id, group.id, user_id, now),
    )
    _touch(conn, account_id, {group.id}, now)
    return get_group(conn, account_id, group_id)


def remove_reader(
    conn: psycopg.Connection, account_id: UUID, group_id: str, user_id: UUID, now: datetime
) -> Group:
    """Take the user out of the group. Raises NotFound (GRP-001; one who is not in it)."""
    group = get_group(conn, account_id, group_id, lock=True)
    gone = conn.execute(
        "DELETE FROM group_users WHERE account_id = %s AND group_id = %s AND user_id = %s",
        (account_id, group.id, user_id),
    )
    if not gone.rowcount:
        raise NotFound("The group has no such user.")
    _touch(conn, account_id, {group.id}, now)
    return get_group(conn, account_id, group_id)


def _touch(conn: psycopg.Connection, account_id: UUID, groups: set[UUID], now: datetime) -> None:
    conn.execute(
        "UPDATE groups SET updated_at = %s WHERE account_id = %s AND id IN ("
        " SELECT id FROM groups WHERE account_id = %s AND id = ANY(%s) ORDER BY id FOR UPDATE)",
        (now, account_id, account_id, list(groups)),
    )
