"""viesti/domain/lists/consent.py: the times that consent to a list knows, to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from msgspec import convert

from viesti.domain.accounts.service import create_account
from viesti.domain.lists.consent import (
    ANSWER_WITHIN,
    COOL_DOWN,
    Heard,
    JoinableList,
    find_asked,
    find_by_keyword,
    opt_in,
    opt_out_of_all,
    take_keyword,
)
from viesti.domain.lists.models import ListInput
from viesti.domain.lists.service import create_list, delete_list, find_memberships
from viesti.kit.ids import new_id

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.fixture
def account(conn: psycopg.Connection) -> UUID:
    return create_account(conn, name="Acme", balance_micros=0, now=NOW).id


def make(
    conn: psycopg.Connection, account: UUID, keyword: str = "JOIN", *, double: bool = True
) -> JoinableList:
    given = {
        "name": f"List {keyword}",
        "keyword": keyword,
        "doubleOptIn": {"enabled": double, "prompt": "Sure?"},
    }
    create_list(conn, account, convert(given, ListInput), NOW)
    return find_by_keyword(conn, account, [keyword])[keyword]


@pytest.mark.parametrize(
    ("after", "is_yes"),
    [(timedelta(0), False), (TICK, True), (ANSWER_WITHIN - TICK, True), (ANSWER_WITHIN, False)],
)
def test_the_second_keyword_and_a_yes_count_from_the_prompt_to_24_hours(
    conn: psycopg.Connection, account: UUID, after: timedelta, is_yes: bool
) -> None:
    club = make(conn, account)
    contact, thread = new_id(), new_id()
    assert take_keyword(conn, account, club, contact, thread, NOW) == Heard(asks=True)
    asked = find_asked(conn, account, contact, thread, NOW + after)
    assert asked == (club if is_yes else None)
    heard = take_keyword(conn, account, club, contact, thread, NOW + after)
    assert (heard.opted_in is not None) == is_yes


@pytest.mark.parametrize("after", [COOL_DOWN - TICK, COOL_DOWN])
def test_the_cool_down_of_prompts_is_ten_minutes(
    conn: psycopg.Connection, account: UUID, after: timedelta
) -> None:
    club = make(conn, account)
    contact = new_id()
    take_keyword(conn, account, club, contact, new_id(), NOW)
    again = take_keyword(conn, account, club, contact, new_id(), NOW + after)
    assert again == Heard(asks=after >= COOL_DOWN)


@pytest.mark.parametrize("after", [COOL_DOWN - TICK, COOL_DOWN])
def test_the_cool_down_of_confirmations_is_ten_minutes(
    conn: psycopg.Connection, account: UUID, after: timedelta
) -> None:
    club = make(conn, account, double=False)
    contact = new_id()
    assert opt_in(conn, account, club, contact, NOW).confirms
    assert opt_in(conn, account, club, contact, NOW) == Heard()
    opt_out_of_all(conn, account, contact, NOW)
    heard = opt_in(conn, account, club, contact, NOW + after)
    assert heard.opted_in is not None
    assert heard.confirms == (after >= COOL_DOWN)


def test_an_opt_out_is_dated_once_on_each_list(conn: psycopg.Connection, account: UUID) -> None:
    contact = new_id()
    for keyword in ("NEWS", "JOIN"):
        opt_in(conn, account, make(conn, account, keyword), contact, NOW)
    other = new_id()
    opt_in(conn, account, make(conn, account, "CLUB"), other, NOW)
    left = opt_out_of_all(conn, account, contact, NOW + TICK)
    assert [(one.name, one.opt_in_at, one.opt_out_at) for one in left] == [
        ("List JOIN", NOW, NOW + TICK),
        ("List NEWS", NOW, NOW + TICK),
    ]
    assert opt_out_of_all(conn, account, contact, NOW + 2 * TICK) == []
    members = find_memberships(conn, account, [contact, other])
    assert [one.opt_out_at for one in members[contact]] == [NOW + TICK] * 2
    assert [one.opt_out_at for one in members[other]] == [None]


def test_nothing_of_another_account_is_read_or_changed(
    conn: psycopg.Connection, account: UUID
) -> None:
    club = make(conn, account)
    contact, thread = new_id(), new_id()
    take_keyword(conn, account, club, contact, thread, NOW)
    opt_in(conn, account, make(conn, account, "NEWS"), contact, NOW)
    stranger = create_account(conn, name="Other", balance_micros=0, now=NOW).id
    assert find_by_keyword(conn, stranger, ["JOIN"]) == {}
    assert find_asked(conn, stranger, contact, thread, NOW + TICK) is None
    assert opt_out_of_all(conn, stranger, contact, NOW) == []
    assert find_asked(conn, account, contact, thread, NOW + TICK) == club


def test_a_deleted_list_is_neither_joined_nor_meant_by_a_yes(
    conn: psycopg.Connection, account: UUID
) -> None:
    club = make(conn, account)
    contact, thread = new_id(), new_id()
    take_keyword(conn, account, club, contact, thread, NOW)
    delete_list(conn, account, str(club.id))
    assert find_by_keyword(conn, account, ["JOIN"]) == {}
    assert find_asked(conn, account, contact, thread, NOW + TICK) is None
