"""viesti/domain/accounts/service.py."""

from __future__ import annotations

import os

import psycopg
import pytest

from tests.conftest import Clock
from viesti.domain.accounts import service
from viesti.domain.accounts.models import Profile
from viesti.kit.errors import Invalid, NotFound
from viesti.kit.ids import new_id
from viesti.kit.secrets import PlatformKey

KEY = PlatformKey([os.urandom(32)])


def test_an_account_opens_with_its_balance_in_the_ledger(
    conn: psycopg.Connection, clock: Clock
) -> None:
    made = service.create_account(conn, name=" Shop ", balance_micros=5_000_000, now=clock.now())
    assert made.name == "Shop"
    assert service.get_account(conn, made.id) == made
    assert service.top_up(conn, made.id, 250_000, now=clock.now(), note="gift") == 5_250_000
    rows = conn.execute(
        "SELECT kind, amount_micros FROM ledger WHERE account_id = %s ORDER BY id", [made.id]
    ).fetchall()
    assert rows == [("opening", 5_000_000), ("top_up", 250_000)]


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "two\nlines", "bell\a"])
def test_a_name_must_be_there_and_end(conn: psycopg.Connection, clock: Clock, name: str) -> None:
    with pytest.raises(Invalid):
        service.create_account(conn, name=name, balance_micros=0, now=clock.now())


def test_nothing_can_be_done_to_an_account_that_is_not_there(
    conn: psycopg.Connection, clock: Clock
) -> None:
    with pytest.raises(NotFound):
        service.get_account(conn, new_id())
    with pytest.raises(NotFound):
        service.create_credentials(conn, KEY, new_id(), now=clock.now())
    with pytest.raises(NotFound):
        service.list_credentials(conn, new_id())
    with pytest.raises(NotFound):
        service.top_up(conn, new_id(), 1, now=clock.now())


@pytest.mark.parametrize("amount", [0, -1, 10**16])
def test_a_top_up_adds_a_sensible_amount(
    conn: psycopg.Connection, clock: Clock, amount: int
) -> None:
    made = service.create_account(conn, name="Shop", balance_micros=0, now=clock.now())
    with pytest.raises(Invalid):
        service.top_up(conn, made.id, amount, now=clock.now())


def test_only_a_keyed_hash_of_a_client_secret_is_kept(
    conn: psycopg.Connection, clock: Clock
) -> None:
    account = service.create_account(conn, name="Shop", balance_micros=0, now=clock.now())
    made = service.create_credentials(
        conn, KEY, account.id, now=clock.now(), profile=Profile.LIVE, name="till"
    )
    assert made.client_secret not in repr(made)
    row = conn.execute("SELECT secret_hash FROM api_credentials").fetchone()
    assert row is not None
    assert KEY.matches(service.SECRET_PURPOSE, made.client_secret, row[0])
    assert made.client_secret.encode() not in row[0]
    (listed,) = service.list_credentials(conn, account.id)
    assert (listed.client_id, listed.profile, listed.name) == (made.client_id, Profile.LIVE, "till")


def test_revoking_is_for_good_and_only_for_ones_own(conn: psycopg.Connection, clock: Clock) -> None:
    mine = service.create_account(conn, name="Mine", balance_micros=0, now=clock.now())
    other = service.create_account(conn, name="Other", balance_micros=0, now=clock.now())
    made = service.create_credentials(conn, KEY, mine.id, now=clock.now())
    with pytest.raises(NotFound):
        service.revoke_credentials(conn, other.id, made.client_id, now=clock.now())
    since = service.revoke_credentials(conn, mine.id, made.client_id, now=clock.now())
    later = clock.advance(60)
    assert service.revoke_credentials(conn, mine.id, made.client_id, now=later) == since
    assert service.list_credentials(conn, mine.id)[0].revoked_at == since
