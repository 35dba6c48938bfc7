"""Keeps lists of contacts; called by the API and the hub.

A list holds whoever was added to it, or whoever its filter matches at the moment. Which
contacts a list means is decided in one place, the contacts' filters (contacts/filters.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

from viesti.domain.lists.models import ListInput, ListRow, Membership, merge_list
from viesti.kit.errors import Conflict, Invalid, NotFound
from viesti.kit.ids import find_id, new_id

LIST_NOT_FOUND = "LIST-001"
NAME_TAKEN = "LIST-002"
KEYWORD_TAKEN = "LIST-004"
MAX_MEMBERS_AT_ONCE = 10_000
MAX_LISTS_OF_CONTACT = 100

_COLUMNS = "id, name, keyword, prompt, confirmation, filter, created_at, updated_at"


@dataclass(frozen=True, slots=True)
class ListPage:
    lists: list[ListRow]
    total_count: int


def list_lists(
    conn: psycopg.Connection, account_id: UUID, name: str, offset: int, limit: int
) -> ListPage:
    """Lists of the account whose name has ``name`` in it, by name."""
    rows = conn.execute(
        f"SELECT {_COLUMNS}, count(*) OVER () FROM lists"
        " WHERE account_id = %s AND strpos(lower(name), lower(%s)) <> %s"
        " ORDER BY name LIMIT %s OFFSET %s",
        (account_id, name, 0 if name else -1, limit, offset),
    ).fetchall()
    if rows or not offset:
        return ListPage([ListRow(*row[:8]) for row in rows], rows[0][8] if rows else 0)
    return ListPage([], list_lists(conn, account_id, name, 0, 1).total_count)


def get_list(
    conn: psycopg.Connection, account_id: UUID, list_id: str, *, lock: bool = False
) -> ListRow:
    """One list of the account. Raises NotFound (LIST-001)."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM lists WHERE account_id = %s AND id = %s"
        + (" FOR UPDATE" if lock else ""),
        (account_id, find_id(list_id)),
    ).fetchone()
    if row is None:
        raise NotFound("There is no such list.", LIST_NOT_FOUND)
    return ListRow(*row)


def create_list(
    conn: psycopg.Connection, account_id: UUID, given: ListInput, now: datetime
) -> ListRow:
    """A new list. Raises what ``merge_list`` does, and Conflict for a name (LIST-002) or a
    keyword (LIST-004) that is taken."""
    row = ListRow(new_id(), "", None, None, None, None, now, now)
    merge_list(row, given)
    _store(conn, account_id, row)
    return row


def update_list(
    conn: psycopg.Connection, account_id: UUID, list_id: str, given: ListInput, now: datetime
) -> ListRow:
    """The list with what was given changed. Raises as ``create_list``, NotFound (LIST-001)."""
    row = get_list(conn, account_id, list_id, lock=True)
    merge_list(row, given)
    row.updated_at = now
    _store(conn, account_id, row)
    return row


def delete_list(conn: psycopg.Connection, account_id: UUID, list_id: str) -> None:
    """Delete the list; its contacts stay. Raises NotFound (LIST-001)."""
    row = get_list(conn, account_id, list_id, lock=True)
    for table in (
        "list_members WHERE account_id = %s AND list_id",
        "lists WHERE account_id = %s AND id",
    ):
        conn.execute(f"DELETE FROM {table} = %s".encode(), (account_id, row.id))


def add_members(
    conn: psycopg.Connection, account_id: UUID, list_id: str, contacts: Sequence[Any], now: datetime
) -> int:
    """Add the contacts whose ids are given; how many were new to the list.

    Raises NotFound (LIST-001), Invalid (GEN-400) for a list with a filter or too many at once.
    Ids of no contact of the account are passed over.
    """
    row = _held_by_hand(conn, account_id, list_id)
    ids = _ids(contacts)
    return conn.execute(
        "INSERT INTO list_members (account_id, list_id, contact_id, created_at)"
        " SELECT %(account)s, %(list)s, c.id, %(now)s FROM contacts c"
        " WHERE c.account_id = %(account)s AND c.id = ANY(%(ids)s) AND c.deleted_at IS NULL"
        " ORDER BY c.id ON CONFLICT DO NOTHING",
        {"account": account_id, "list": row.id, "ids": ids, "now": now},
    ).rowcount


def remove_members(
    conn: psycopg.Connection, account_id: UUID, list_id: str, contacts: Sequence[Any]
) -> int:
    """Take contacts off the list; how many were on it. Raises as ``add_members``.

    Who opted out of it stays as such: to be taken off and added again must not undo that.
    """
    row = _held_by_hand(conn, account_id, list_id)
    return conn.execute(
        "DELETE FROM list_members WHERE account_id = %s AND list_id = %s AND contact_id = ANY(%s)"
        " AND opt_out_at IS NULL",
        (account_id, row.id, _ids(contacts)),
    ).rowcount


def put_on_lists(
    conn: psycopg.Connection,
    account_id: UUID,
    given: Mapping[UUID, Sequence[Any]],
    now: datetime,
    *,
    replace: bool = False,
) -> None:
    """Add each contact to the lists that were given with it, by id or by name.

    ``replace``: take it off the others (an update), but for those that it opted out of. Raises
    Invalid (GEN-400) for a list that is not there or that has a filter.
    """
    wanted = {contact: _names(lists) for contact, lists in given.items()}
    names = sorted({name for lists in wanted.values() for name in lists})
    found: dict[str, UUID] = {}
    if names:
        for list_id, name in conn.execute(
            "SELECT id, name FROM lists WHERE account_id = %s AND filter IS NULL"
            " AND (name = ANY(%s) OR id = ANY(%s))",
            (account_id, names, [one for one in map(find_id, names) if one]),
        ):
            found[str(list_id)] = found[name] = list_id
    missing = [name for name in names if name not in found]
    if missing:
        raise Invalid("A contact can be put on lists that exist and have no filter; one is not.")
    pairs = sorted({(found[name], contact) for contact, lists in wanted.items() for name in lists})
    if replace:
        conn.execute(
            "DELETE FROM list_members WHERE account_id = %(account)s"
            " AND contact_id = ANY(%(contacts)s) AND opt_out_at IS NULL"
            " AND (list_id, contact_id) NOT IN"
            " (SELECT * FROM unnest(%(lists)s::uuid[], %(members)s::uuid[]))",
            {
                "account": account_id,
                "contacts": list(wanted),
                "lists": [pair[0] for pair in pairs],
                "members": [pair[1] for pair in pairs],
            },
        )
    if pairs:
        conn.execute(
            "INSERT INTO list_members (account_id, list_id, contact_id, created_at)"
            " SELECT %s, u.*, %s FROM unnest(%s::uuid[], %s::uuid[]) u ON CONFLICT DO NOTHING",
            (account_id, now, [pair[0] for pair in pairs], [pair[1] for pair in pairs]),
        )


def find_memberships(
    conn: psycopg.Connection, account_id: UUID, contacts: Iterable[UUID]
) -> dict[UUID, list[Membership]]:
    """The lists that each of ``contacts`` was added to, by name."""
    found: dict[UUID, list[Membership]] = {}
    for contact, *member in conn.execute(
        "SELECT m.contact_id, l.id, l.name, m.opt_in_at, m.opt_out_at FROM list_members m"
        " JOIN lists l ON l.account_id = %(account)s AND l.id = m.list_id"
        " WHERE m.account_id = %(account)s AND m.contact_id = ANY(%(contacts)s) ORDER BY l.name",
        {"account": account_id, "contacts": list(contacts)},
    ):
        found.setdefault(contact, []).append(Membership(*member))
    return found


def _held_by_hand(conn: psycopg.Connection, account_id: UUID, list_id: str) -> ListRow:
    row = get_list(conn, account_id, list_id)
    if row.filter is not None:
        raise Invalid("The list holds whom its filter matches: nobody can be added or removed.")
    return row


def _store(conn: psycopg.Connection, account_id: UUID, row: ListRow) -> None:
    try:
        conn.execute(
            f"INSERT INTO lists (account_id, {_COLUMNS}) VALUES"
            " (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (account_id, id) DO UPDATE SET"
            " name = excluded.name, keyword = excluded.keyword, prompt = excluded.prompt,"
            " confirmation = excluded.confirmation, filter = excluded.filter,"
            " updated_at = excluded.updated_at",
            (
                account_id,
                row.id,
                row.name,
                row.keyword,
                row.prompt,
                row.confirmation,
                Jsonb(row.filter) if row.filter is not None else None,
                row.created_at,
                row.updated_at,
            ),
        )
    except errors.UniqueViolation as error:
        if error.diag.constraint_name == "uq_lists_account_id_keyword":
            raise Conflict("Another list has this keyword.", KEYWORD_TAKEN) from error
        raise Conflict("Another list has this name.", NAME_TAKEN) from error


def _ids(contacts: Sequence[Any]) -> list[UUID]:
    if not contacts or len(contacts) > MAX_MEMBERS_AT_ONCE:
        raise Invalid(f"Give 1 to {MAX_MEMBERS_AT_ONCE} contacts, by their ids.")
    ids = (find_id(_key(one, "id")) for one in contacts)
    return [found for found in ids if found]


def _names(lists: Sequence[Any]) -> list[str]:
    """Ids or names, as texts or in objects: what a contact shows can be written back."""
    if len(lists) > MAX_LISTS_OF_CONTACT:
        raise Invalid(f"A contact may be on at most {MAX_LISTS_OF_CONTACT} lists.")
    found: list[str] = []
    for one in lists:
        name = _key(one, "id") or _key(one, "name")
        if not isinstance(name, str) or not name.strip() or "\x00" in name:
            raise Invalid("Each list must be an id, a name, or an object with one of them.")
        found.append(name.strip())
    return found


def _key(one: Any, key: str) -> Any:
    return cast("dict[str, Any]", one).get(key) if isinstance(one, dict) else one
