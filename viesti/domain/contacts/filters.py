"""Whom a filter means: the one model that lists, sends, campaigns and dynamic lists share.

``ContactFilter`` is what was asked for, ``conditions`` turns it into SQL over ``contacts c``,
``contact_ids`` walks what it matches in the order of the ids, chunk by chunk, and
``count_contacts`` says how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from viesti.domain.contacts.attributes import (
    AttributeClause,
    AttributeFilter,
    attribute_condition,
    read_attribute,
)
from viesti.domain.contacts.counts import (
    EXACT_TO,
    Count,
    count_matches,
    count_rows,
    estimate_matches,
)
from viesti.domain.contacts.models import clean_tag
from viesti.domain.contacts.search import (
    NEVER,
    Binder,
    Condition,
    any_field_condition,
    number_condition,
    plain_condition,
    tags_condition,
    text_condition,
)
from viesti.kit.errors import Invalid
from viesti.kit.ids import find_id

__all__ = [
    "AttributeFilter",
    "ContactFilter",
    "FilterInput",
    "contact_ids",
    "count_contacts",
    "read_filter",
]

# Where a filter is thought to match more than this, a walk along the key is the shorter way.
COMMON = 20_000
# A dynamic list's filter may name another list; a circle of lists ends here and holds nobody.
MAX_NESTED_LISTS = 3
# A filter that leads to more lists than this, by way of their filters, holds nobody.
MAX_LISTS = 100
MAX_IDS = 10_000
MAX_CLAUSES = 50
MAX_VALUES = 1000
MAX_TERM_CHARS = 1000


@dataclass(frozen=True, slots=True)
class ContactFilter:
    """What contacts are narrowed to, all together; as it stands: every live contact.

    The texts match anywhere and in any case (one or two characters: the beginning), ``mobile``
    by digits, however it is written. Each of ``tags`` and each of ``lists`` must hold the
    contact. ``ids`` None: not narrowed. Of two opposite flags, both set narrow nothing.
    """

    q: str = ""
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    mobile: str = ""
    tags: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    attributes: tuple[AttributeClause, ...] = ()
    ids: tuple[UUID, ...] | None = None
    valid: bool = False
    invalid: bool = False
    blocked: bool = False
    unblocked: bool = False
    opt_in: bool = False

    def __bool__(self) -> bool:
        """Whether it narrows at all."""
        return self != ContactFilter()


class FilterInput(msgspec.Struct, frozen=True, rename="camel"):
    """``ContactFilter`` of the newer documentation and the ``filters`` of sends and campaigns,
    in one: unknown fields are ignored, and so is null."""

    q: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    mobile: str | None = None
    tags: list[Any] | str | None = None
    list_: Any = msgspec.field(default=None, name="list")
    lists: Any = None
    attributes: list[AttributeFilter | str] | None = None
    contacts: list[Any] | None = None
    valid: bool | None = None
    invalid: bool | None = None
    blocked: bool | None = None
    unblocked: bool | None = None
    opt_in: bool | None = None


def read_filter(written: FilterInput) -> ContactFilter:
    """The filter that a client wrote. Raises Invalid (GEN-400).

    Tags and lists may be texts or objects (``tag``, ``id``), contacts ids or objects with one.
    """
    attributes = tuple(read_attribute(one) for one in written.attributes or ())
    if len(attributes) > MAX_CLAUSES:
        raise Invalid(f"A filter may have at most {MAX_CLAUSES} attribute clauses.")
    if sum(len(clause.values) for clause in attributes) > MAX_VALUES:
        raise Invalid(f"The attribute clauses of a filter may have at most {MAX_VALUES} values.")
    given: Any = written.tags
    tags = given.split(",") if isinstance(given, str) else given
    return ContactFilter(
        q=_term("q", written.q),
        first_name=_term("firstName", written.first_name),
        last_name=_term("lastName", written.last_name),
        email=_term("email", written.email),
        mobile=_term("mobile", written.mobile),
        tags=tuple(dict.fromkeys(clean_tag(tag) for tag in _texts("tags", tags, "tag"))),
        lists=tuple(
            dict.fromkeys(
                (*_texts("list", written.list_, "id"), *_texts("lists", written.lists, "id"))
            )
        ),
        attributes=attributes,
        ids=_ids(written.contacts) if written.contacts else None,
        valid=bool(written.valid),
        invalid=bool(written.invalid),
        blocked=bool(written.blocked),
        unblocked=bool(written.unblocked),
        opt_in=bool(written.opt_in),
    )


def contact_ids(
    conn: psycopg.Connection,
    account_id: UUID,
    narrow: ContactFilter,
    after: UUID | None,
    limit: int,
    *,
    until: UUID | None = None,
) -> list[UUID]:
    """The next ``limit`` contacts that match, ascending, beyond ``after`` and up to ``until``.

    For walks in chunks: give the last id of one chunk as ``after`` of the next; a shorter chunk
    is the last one. Complete for whatever was committed before the walk began.
    """
    found = conditions(conn, account_id, narrow)
    indexed = False
    if found.is_indexed:
        indexed = estimate_matches(conn, found.source(indexed=True), found.params) <= COMMON
    params = {**found.params, "after": after, "until": until, "limit": limit}
    return [
        record[0]
        for record in conn.execute(
            sql.SQL(
                "SELECT c.id FROM contacts c WHERE {}{}{} ORDER BY c.id LIMIT %(limit)s"
            ).format(
                found.where(indexed=indexed),
                sql.SQL(" AND c.id > %(after)s" if after else ""),
                sql.SQL(" AND c.id <= %(until)s" if until else ""),
            ),
            params,
            prepare=False,
            binary=True,
        )
    ]


def count_contacts(
    conn: psycopg.Connection, account_id: UUID, narrow: ContactFilter, *, bound: int = EXACT_TO
) -> Count:
    """How many contacts match: exact up to ``bound``, else estimated; exact without narrowing."""
    if not narrow:
        return count_rows(conn, account_id, "contacts")
    found = conditions(conn, account_id, narrow)
    return count_matches(conn, found.source(indexed=True), found.params, bound=bound)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The WHERE clause of a filter over ``contacts c``, and its parameters.

    Statements with it are planned for their values (``prepare=False``): a plan for any values
    would not know a rare term from a common one.
    """

    parts: tuple[Condition, ...]
    params: dict[str, Any]

    @property
    def is_indexed(self) -> bool:
        """Whether the search index can lead to what matches."""
        return any(part.tokens is not None for part in self.parts)

    def where(self, *, indexed: bool) -> sql.Composed:
        return sql.SQL(" AND ").join(
            [
                sql.SQL("c.account_id = %(account)s"),
                sql.SQL("c.deleted_at IS NULL"),
                *(part.indexed if indexed else part.plain for part in self.parts),
            ]
        )

    def source(self, *, indexed: bool) -> sql.Composed:
        return sql.SQL("contacts c WHERE {}").format(self.where(indexed=indexed))


def conditions(conn: psycopg.Connection, account_id: UUID, narrow: ContactFilter) -> Conditions:
    """``narrow`` as SQL; dynamic lists are read, for their filters are part of it."""
    binder = Binder({"account": account_id})
    return Conditions(tuple(_parts(conn, account_id, narrow, binder, 0)), binder.params)


def _parts(
    conn: psycopg.Connection, account_id: UUID, narrow: ContactFilter, binder: Binder, depth: int
) -> list[Condition]:
    parts: list[Condition] = []
    if narrow.q:
        parts.append(any_field_condition(narrow.q, binder))
    if narrow.first_name:
        parts.append(text_condition("first_name", narrow.first_name, binder))
    if narrow.last_name:
        parts.append(text_condition("last_name", narrow.last_name, binder))
    if narrow.email:
        parts.append(text_condition("email", narrow.email, binder))
    if narrow.mobile:
        parts.append(number_condition(narrow.mobile, binder))
    if narrow.tags:
        parts.append(tags_condition(list(narrow.tags), binder))
    parts += [plain_condition(attribute_condition(clause, binder)) for clause in narrow.attributes]
    if narrow.ids is not None:
        parts.append(
            plain_condition(sql.SQL("c.id = ANY({})").format(binder.bind(list(narrow.ids))))
        )
    parts += [plain_condition(flag) for flag in _flags(narrow)]
    for list_id in narrow.lists:
        parts += _list_parts(conn, account_id, list_id, binder, depth)
    return parts


_BLOCKED = sql.SQL(
    "EXISTS (SELECT 1 FROM opt_outs o WHERE o.account_id = %(account)s AND o.mobile = c.mobile)"
)


def _flags(narrow: ContactFilter) -> list[sql.Composable]:
    flags: list[sql.Composable] = []
    # A contact is stored only with a number that is valid.
    if narrow.invalid and not narrow.valid:
        flags.append(NEVER)
    if narrow.blocked != narrow.unblocked:
        flags.append(_BLOCKED if narrow.blocked else sql.SQL("NOT {}").format(_BLOCKED))
    if narrow.opt_in:
        flags.append(sql.SQL("c.opted_in_at IS NOT NULL"))
    return flags


def _list_parts(
    conn: psycopg.Connection, account_id: UUID, list_id: str, binder: Binder, depth: int
) -> list[Condition]:
    """Those whom the list holds and who did not opt out of it; an unknown list holds nobody."""
    found = find_id(list_id)
    binder.lists += 1
    record = (
        conn.execute(
            "SELECT filter FROM lists WHERE account_id = %s AND id = %s", (account_id, found)
        ).fetchone()
        if found and depth < MAX_NESTED_LISTS and binder.lists <= MAX_LISTS
        else None
    )
    if record is None:
        return [plain_condition(NEVER)]
    bound = binder.bind(found)
    if record[0] is None:
        member = sql.SQL(
            "EXISTS (SELECT 1 FROM list_members l WHERE l.account_id = %(account)s"
            " AND l.list_id = {} AND l.contact_id = c.id AND l.opt_out_at IS NULL)"
        ).format(bound)
        return [plain_condition(member)]
    left = sql.SQL(
        "NOT EXISTS (SELECT 1 FROM list_members l WHERE l.account_id = %(account)s"
        " AND l.list_id = {} AND l.contact_id = c.id AND l.opt_out_at IS NOT NULL)"
    ).format(bound)
    inner = read_filter(msgspec.convert(record[0], FilterInput))
    return [plain_condition(left), *_parts(conn, account_id, inner, binder, depth + 1)]


def _term(name: str, written: str | None) -> str:
    text = (written or "").strip()
    if "\x00" in text or len(text) > MAX_TERM_CHARS:
        raise Invalid(f"The filter {name} cannot be used as written.")
    return text


def _texts(name: str, written: Any, key: str) -> list[str]:
    """Texts, or objects that hold them under ``key``; one of them may stand alone."""
    if written is None or written == "":
        return []
    items: list[Any] = cast("list[Any]", written) if isinstance(written, list) else [written]
    found: list[str] = []
    for item in items:
        text = cast("dict[str, Any]", item).get(key) if isinstance(item, dict) else item
        if not isinstance(text, str) or "\x00" in text:
            raise Invalid(f"The filter {name} holds something that is neither a text nor has one.")
        if text.strip():
            found.append(text.strip())
    if len(found) > MAX_CLAUSES:
        raise Invalid(f"The filter {name} may name at most {MAX_CLAUSES}.")
    return found


def _ids(written: list[Any]) -> tuple[UUID, ...]:
    """The ids among ``written``; what is no id of ours matches no contact."""
    if len(written) > MAX_IDS:
        raise Invalid(f"A filter may name at most {MAX_IDS} contacts.")
    ids = (
        find_id(cast("dict[str, Any]", item).get("id") if isinstance(item, dict) else item)
        for item in written
    )
    return tuple(found for found in ids if found)
