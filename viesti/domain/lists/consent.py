"""A contact's own consent to a list: asked for, given and taken back by its handset alone.

Called by ``inbound`` in the transaction of the text, with the contact's row locked: of two texts
of one contact the second sees what the first did. The API adds and removes members; it never
writes these dates.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from viesti.domain.lists.models import Membership

# Who answers by itself must not keep us talking: one prompt and one confirmation in this time.
COOL_DOWN = timedelta(minutes=10)
# So long a yes is an answer to the prompt.
ANSWER_WITHIN = timedelta(hours=24)

_COLUMNS = "l.id, l.name, l.keyword, l.prompt, l.confirmation"


@dataclass(frozen=True, slots=True)
class JoinableList:
    """``prompt``: None without double opt-in, empty for the usual wording."""

    id: UUID
    name: str
    keyword: str
    prompt: str | None
    confirmation: str | None


@dataclass(frozen=True, slots=True)
class Heard:
    """What a text did: whether the contact is to be asked, or has opted in.

    ``confirms``: the opt-in is to be confirmed, for no other was a moment ago.
    """

    asks: bool = False
    opted_in: Membership | None = None
    confirms: bool = False


def find_by_keyword(
    conn: psycopg.Connection, account_id: UUID, words: Collection[str]
) -> dict[str, JoinableList]:
    """The lists that ``words``, as ``whole_word`` gives them, join; they stay while this lasts."""
    if not words:
        return {}
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM lists l WHERE l.account_id = %s AND l.keyword = ANY(%s)"
        " AND l.filter IS NULL ORDER BY l.id FOR KEY SHARE",
        (account_id, sorted(words)),
    ).fetchall()
    return {row[2]: JoinableList(*row) for row in rows}


def find_asked(
    conn: psycopg.Connection, account_id: UUID, contact_id: UUID, thread_id: UUID, now: datetime
) -> JoinableList | None:
    """The list that a yes in the conversation ``thread_id`` means: the one asked about last."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM list_prompts p JOIN lists l ON l.id = p.list_id"
        " AND l.account_id = %(account)s"
        " WHERE p.account_id = %(account)s AND p.contact_id = %(contact)s"
        " AND p.conversation_id = %(thread)s AND p.asked_at > %(since)s AND p.asked_at < %(now)s"
        " AND l.filter IS NULL ORDER BY p.asked_at DESC, p.list_id DESC LIMIT 1"
        " FOR KEY SHARE OF l",
        {
            "account": account_id,
            "contact": contact_id,
            "thread": thread_id,
            "since": now - ANSWER_WITHIN,
            "now": now,
        },
    ).fetchone()
    return JoinableList(*row) if row else None


def take_keyword(
    conn: psycopg.Connection,
    account_id: UUID,
    joined: JoinableList,
    contact_id: UUID,
    thread_id: UUID,
    now: datetime,
) -> Heard:
    """The contact wrote the keyword of ``joined``: it is asked, or opts in, or is in already.

    With double opt-in the first keyword asks, and another one after that is a yes.
    """
    member = _find_member(conn, account_id, joined, contact_id)
    if _is_in(member):
        return Heard()
    if joined.prompt is None:
        return opt_in(conn, account_id, joined, contact_id, now)
    asked: tuple[UUID | None, datetime] | None = conn.execute(
        "SELECT conversation_id, asked_at FROM list_prompts"
        " WHERE account_id = %s AND contact_id = %s AND list_id = %s",
        (account_id, contact_id, joined.id),
    ).fetchone()
    # What came together with the first keyword was written before anybody was asked.
    if asked and asked[0] == thread_id and now - ANSWER_WITHIN < asked[1] < now:
        return opt_in(conn, account_id, joined, contact_id, now)
    asks = asked is None or asked[1] <= now - COOL_DOWN
    conn.execute(
        "INSERT INTO list_prompts (account_id, contact_id, list_id, conversation_id, asked_at)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (account_id, contact_id, list_id) DO UPDATE"
        " SET conversation_id = excluded.conversation_id, asked_at = excluded.asked_at",
        (account_id, contact_id, joined.id, thread_id, now if asked is None or asks else asked[1]),
    )
    return Heard(asks=asks)


def opt_in(
    conn: psycopg.Connection,
    account_id: UUID,
    joined: JoinableList,
    contact_id: UUID,
    now: datetime,
) -> Heard:
    """The contact wants to be on ``joined``; nothing, if it has said so and not taken it back."""
    before = _find_member(conn, account_id, joined, contact_id)
    _end_prompts(conn, account_id, contact_id, joined.id)
    if _is_in(before):
        return Heard()
    conn.execute(
        "INSERT INTO list_members (account_id, list_id, contact_id, opt_in_at, created_at)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (account_id, list_id, contact_id) DO UPDATE"
        " SET opt_in_at = excluded.opt_in_at, opt_out_at = NULL",
        (account_id, joined.id, contact_id, now, now),
    )
    last = before.opt_in_at if before else None
    return Heard(
        opted_in=Membership(joined.id, joined.name, now, None),
        confirms=last is None or last <= now - COOL_DOWN,
    )


def opt_out_of_all(
    conn: psycopg.Connection, account_id: UUID, contact_id: UUID, now: datetime
) -> list[Membership]:
    """The contact opted out of the account, and so of its lists; those it had not left before.

    A yes to what it was asked earlier no longer counts. No opt-in to the account undoes this: it
    takes the list's keyword.
    """
    _end_prompts(conn, account_id, contact_id, None)
    rows = conn.execute(
        "UPDATE list_members m SET opt_out_at = %(now)s FROM lists l"
        " WHERE m.account_id = %(account)s AND m.contact_id = %(contact)s"
        " AND m.opt_out_at IS NULL AND l.account_id = %(account)s AND l.id = m.list_id"
        " RETURNING l.id, l.name, m.opt_in_at, m.opt_out_at",
        {"account": account_id, "contact": contact_id, "now": now},
    ).fetchall()
    return sorted((Membership(*row) for row in rows), key=lambda member: member.name)


def _find_member(
    conn: psycopg.Connection, account_id: UUID, joined: JoinableList, contact_id: UUID
) -> Membership | None:
    row = conn.execute(
        "SELECT opt_in_at, opt_out_at FROM list_members"
        " WHERE account_id = %s AND list_id = %s AND contact_id = %s",
        (account_id, joined.id, contact_id),
    ).fetchone()
    return Membership(joined.id, joined.name, *row) if row else None


def _is_in(member: Membership | None) -> bool:
    return member is not None and member.opt_in_at is not None and member.opt_out_at is None


def _end_prompts(
    conn: psycopg.Connection, account_id: UUID, contact_id: UUID, list_id: UUID | None
) -> None:
    """No answer is awaited any more; when it was asked stays known for a while."""
    conn.execute(
        "UPDATE list_prompts SET conversation_id = NULL WHERE account_id = %s"
        " AND contact_id = %s AND list_id = coalesce(%s, list_id)",
        (account_id, contact_id, list_id),
    )
