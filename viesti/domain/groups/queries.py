"""Reads groups: with all that belongs to them, and by their senders.

Called by the API and the command line; messages and conversations ask for the group of their
senders, once per page. Groups and users are reference tables and senders a local one, so that no
tenant's table is joined here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.accounts.models import DEFAULT_GROUP_NAME
from viesti.domain.groups.models import (
    GROUP_NOT_FOUND,
    Group,
    GroupName,
    GroupSender,
    SenderGroup,
)
from viesti.domain.users.models import Member
from viesti.domain.users.service import find_members
from viesti.kit.errors import NotFound
from viesti.kit.ids import find_id

_SELECT = (
    "SELECT id, name, tags, is_default, use_shared_pool, created_at, updated_at FROM groups"
    " WHERE account_id = %(account)s"
)
# A sender that was given to no group is in the default one, whose id is the account's.
_GROUP_OF_SENDER = (
    "LEFT JOIN groups g ON g.account_id = s.account_id"
    " AND g.id = coalesce(s.group_id, s.account_id)"
)


@dataclass(frozen=True, slots=True)
class GroupPage:
    groups: list[Group]
    total_count: int


def list_groups(conn: psycopg.Connection, account_id: UUID, offset: int, limit: int) -> GroupPage:
    """Groups of the account, the default one first, then the oldest."""
    count = conn.execute(
        "SELECT count(*) FROM groups WHERE account_id = %s", (account_id,)
    ).fetchone()
    total = int(count[0]) if count else 0
    if offset >= total:
        return GroupPage([], total)
    rows = conn.execute(
        _SELECT + " ORDER BY is_default DESC, id LIMIT %(limit)s OFFSET %(offset)s",
        {"account": account_id, "limit": limit, "offset": offset},
    ).fetchall()
    return GroupPage(_fill(conn, account_id, rows), total)


def get_group(
    conn: psycopg.Connection, account_id: UUID, group_id: str, *, lock: bool = False
) -> Group:
    """One group of the account. Raises NotFound (GRP-001)."""
    found = find_id(group_id)
    rows = (
        conn.execute(
            _SELECT + " AND id = %(id)s" + (" FOR UPDATE" if lock else ""),
            {"account": account_id, "id": found},
        ).fetchall()
        if found
        else []
    )
    if not rows:
        raise NotFound("There is no such group.", GROUP_NOT_FOUND)
    return _fill(conn, account_id, rows)[0]


def find_group_names(
    conn: psycopg.Connection, account_id: UUID, sender_ids: Iterable[UUID | None]
) -> dict[UUID | None, GroupName]:
    """The group of each sender of the account among ``sender_ids``, by the sender's id.

    One that is gone has none: what it sent is shown in the default group.
    """
    wanted = {sender_id for sender_id in sender_ids if sender_id is not None}
    if not wanted:
        return {}
    rows = conn.execute(
        f"SELECT s.id, g.id, g.name FROM senders s {_GROUP_OF_SENDER}"
        " WHERE s.account_id = %s AND s.id = ANY(%s)",
        (account_id, list(wanted)),
    )
    return {row[0]: GroupName(row[1], row[2]) for row in rows if row[1] is not None}


def find_sender_groups(
    conn: psycopg.Connection, sender_ids: Iterable[UUID]
) -> dict[UUID, SenderGroup]:
    """What conversations show of their senders, whosever these are, by the sender's id."""
    wanted = list(set(sender_ids))
    if not wanted:
        return {}
    rows = conn.execute(
        "SELECT s.id, s.country, s.active, s.account_id, g.id, g.name, u.ids, u.since"
        f" FROM senders s {_GROUP_OF_SENDER}"
        " LEFT JOIN LATERAL (SELECT array_agg(m.user_id ORDER BY m.user_id) AS ids,"
        "   array_agg(m.joined_at ORDER BY m.user_id) AS since FROM group_users m"
        "   WHERE m.account_id = g.account_id AND m.group_id = g.id) u ON true"
        " WHERE s.id = ANY(%s)",
        (wanted,),
    )
    return {row[0]: _sender_group(row) for row in rows}


def _sender_group(row: Sequence[Any]) -> SenderGroup:
    group = GroupName(row[4] or row[3], row[5] or DEFAULT_GROUP_NAME)
    return SenderGroup(row[1], row[2], group, dict(zip(row[6] or (), row[7] or (), strict=True)))


def _fill(conn: psycopg.Connection, account_id: UUID, rows: Sequence[Sequence[Any]]) -> list[Group]:
    """The groups of ``rows`` with their active senders and their users."""
    if not rows:
        return []
    ids = [row[0] for row in rows]
    senders: dict[UUID, list[GroupSender]] = {group_id: [] for group_id in ids}
    users: dict[UUID, list[Member]] = {group_id: [] for group_id in ids}
    for row in conn.execute(
        "SELECT coalesce(s.group_id, s.account_id), s.id, s.number, s.country, s.type, c.name"
        " FROM senders s JOIN carriers c ON c.id = s.carrier_id"
        " WHERE s.account_id = %s AND s.active"
        " AND coalesce(s.group_id, s.account_id) = ANY(%s) ORDER BY s.is_default DESC, s.id",
        (account_id, ids),
    ):
        senders[row[0]].append(GroupSender(*row[1:]))
    pairs = conn.execute(
        "SELECT group_id, user_id FROM group_users WHERE account_id = %s AND group_id = ANY(%s)"
        " ORDER BY user_id",
        (account_id, ids),
    ).fetchall()
    members = find_members(conn, account_id, [pair[1] for pair in pairs]) if pairs else {}
    for group_id, user_id in pairs:
        if user_id in members:
            users[group_id].append(members[user_id])
    return [
        Group(
            id=row[0],
            name=row[1],
            tags=row[2],
            is_default=row[3],
            use_shared_pool=row[4],
            created_at=row[5],
            updated_at=row[6],
            senders=senders[row[0]],
            users=users[row[0]],
        )
        for row in rows
    ]
