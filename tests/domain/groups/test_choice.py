"""viesti/domain/groups/choice.py: which sender a text to a group's contact leaves from."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from tests.conftest import Clock
from viesti.domain.accounts.service import create_account
from viesti.domain.groups.choice import get_sender_choice
from viesti.domain.groups.service import create_group, move_sender
from viesti.domain.senders.models import SmppAccount
from viesti.domain.senders.service import add_sender, ensure_carrier
from viesti.kit.errors import NotFound
from viesti.kit.ids import new_id
from viesti.kit.secrets import PlatformKey

NEW_YORK = "+12125550101"
LONDON = "+442071838750"
PARIS = "+33142685300"
AMERICAN = ("+13475550101", "US")
CANADIAN = ("+14165550102", "CA")
BRITISH = ("+447400123456", "GB")
FRENCH = ("+33612345678", "FR")


@pytest.fixture
def account(conn: psycopg.Connection, clock: Clock) -> UUID:
    """With three senders, in this order: New York (the default one), London, Paris."""
    ensure_carrier(
        conn,
        PlatformKey([b"k" * 32]),
        name="local",
        smpp=SmppAccount("127.0.0.1", 2775, "viesti", "hush"),
        now=clock.now(),
    )
    account = create_account(conn, name="Shop", balance_micros=0, now=clock.now()).id
    for number in (NEW_YORK, LONDON, PARIS):
        add_sender(conn, account_id=account, number=number, carrier_name="local", now=clock.now())
    return account


def group_with(
    conn: psycopg.Connection, clock: Clock, account: UUID, *numbers: str, pool: bool = False
) -> str:
    name = f"Group {new_id()}"
    made = create_group(conn, account, name=name, now=clock.now(), use_shared_pool=pool)
    for number in numbers:
        move_sender(conn, account, str(made.id), number, clock.now())
    return str(made.id)


def chosen(
    conn: psycopg.Connection, account: UUID, group: str | None, contact: tuple[str, str]
) -> str | None:
    sender = get_sender_choice(conn, account, group).for_contact(*contact)
    return sender.number if sender else None


def test_without_a_group_all_senders_of_the_account_count(
    conn: psycopg.Connection, clock: Clock, account: UUID
) -> None:
    group_with(conn, clock, account, PARIS)
    assert chosen(conn, account, None, FRENCH) == PARIS
    assert chosen(conn, account, "", BRITISH) == LONDON
    assert chosen(conn, account, None, CANADIAN) == NEW_YORK
    assert chosen(conn, account, None, ("+358401234567", "FI")) == NEW_YORK


def test_a_group_sends_by_country_then_calling_code_then_its_first_sender(
    conn: psycopg.Connection, clock: Clock, account: UUID
) -> None:
    group = group_with(conn, clock, account, LONDON, NEW_YORK)
    assert chosen(conn, account, group, BRITISH) == LONDON
    assert chosen(conn, account, group, CANADIAN) == NEW_YORK
    assert chosen(conn, account, group, FRENCH) == NEW_YORK  # the account's default sender


def test_a_group_keeps_to_its_own_senders(
    conn: psycopg.Connection, clock: Clock, account: UUID
) -> None:
    group = group_with(conn, clock, account, LONDON)
    assert chosen(conn, account, group, AMERICAN) == LONDON
    assert chosen(conn, account, group_with(conn, clock, account), AMERICAN) is None


def test_a_group_falls_back_on_the_shared_pool_if_it_may(
    conn: psycopg.Connection, clock: Clock, account: UUID
) -> None:
    group = group_with(conn, clock, account, LONDON, pool=True)
    assert chosen(conn, account, group, BRITISH) == LONDON
    assert chosen(conn, account, group, AMERICAN) == NEW_YORK
    assert chosen(conn, account, group, ("+358401234567", "FI")) == LONDON
    # The pool is the default group: what belongs to a third group is not lent.
    group_with(conn, clock, account, PARIS)
    assert chosen(conn, account, group, FRENCH) == LONDON
    empty = group_with(conn, clock, account, pool=True)
    assert chosen(conn, account, empty, BRITISH) == NEW_YORK


def test_a_sender_that_is_switched_off_is_not_chosen(
    conn: psycopg.Connection, clock: Clock, account: UUID
) -> None:
    closed = group_with(conn, clock, account, LONDON)
    open_ = group_with(conn, clock, account, PARIS, pool=True)
    conn.execute("UPDATE senders SET active = false WHERE number IN (%s, %s)", (LONDON, PARIS))
    assert chosen(conn, account, closed, BRITISH) is None
    assert chosen(conn, account, open_, FRENCH) == NEW_YORK


def test_a_conversations_sender_stays_even_if_it_is_in_another_group(
    conn: psycopg.Connection, clock: Clock, account: UUID
) -> None:
    group = group_with(conn, clock, account, LONDON)
    choice = get_sender_choice(conn, account, group)
    paris = get_sender_choice(conn, account, None).for_contact(*FRENCH)
    assert paris is not None
    assert choice.by_id(paris.id) == paris


def test_the_default_group_holds_what_no_other_has(
    conn: psycopg.Connection, clock: Clock, account: UUID
) -> None:
    group_with(conn, clock, account, NEW_YORK)
    assert chosen(conn, account, str(account), AMERICAN) == LONDON


@pytest.mark.parametrize("unknown", ["nonsense", "01954f2a-1c00-7000-8000-0000000000ff"])
def test_an_unknown_group_is_refused(conn: psycopg.Connection, account: UUID, unknown: str) -> None:
    with pytest.raises(NotFound) as refusal:
        get_sender_choice(conn, account, unknown)
    assert refusal.value.code == "GRP-001"
