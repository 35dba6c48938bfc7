"""viesti/domain/senders/service.py."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.conftest import Clock
from viesti.domain.accounts.service import create_account
from viesti.domain.senders import service
from viesti.domain.senders.models import (
    BindMode,
    CarrierHabits,
    IdFormat,
    ReceiptHabit,
    SenderType,
    SmppAccount,
    UnknownOutcome,
)
from viesti.kit.errors import Conflict, Invalid, NotFound
from viesti.kit.secrets import PlatformKey

KEY = PlatformKey([os.urandom(32)])
LOCAL = SmppAccount("127.0.0.1", 2775, "viesti", "hush")


def add_local(conn: psycopg.Connection, clock: Clock, name: str = "local") -> None:
    service.add_carrier(conn, KEY, name=name, smpp=LOCAL, now=clock.now())


def add_account(conn: psycopg.Connection, clock: Clock) -> UUID:
    return create_account(conn, name="Shop", balance_micros=0, now=clock.now()).id


def test_a_carrier_keeps_its_password_encrypted(conn: psycopg.Connection, clock: Clock) -> None:
    add_local(conn, clock)
    row = conn.execute("SELECT settings, secret_encrypted FROM carriers").fetchone()
    assert row is not None
    assert row[0] == {"host": "127.0.0.1", "port": 2775, "system_id": "viesti"}
    assert b"hush" not in row[1]
    assert KEY.decrypt(service.PASSWORD_PURPOSE, row[1]) == b"hush"
    assert "hush" not in repr(LOCAL)


def test_a_carriers_habits_are_kept(conn: psycopg.Connection, clock: Clock) -> None:
    habits = CarrierHabits(
        BindMode.TX_RX, IdFormat.HEX_DEC, ReceiptHabit.LAST, UnknownOutcome.RESEND
    )
    service.add_carrier(conn, KEY, name="old", smpp=LOCAL, now=clock.now(), habits=habits)
    row = conn.execute(
        "SELECT settings ->> 'bind_mode', id_format, receipts, unknown_outcome FROM carriers"
    ).fetchone()
    assert row == ("tx_rx", "hex-dec", "last", "resend")


def test_a_carriers_name_is_taken_once(conn: psycopg.Connection, clock: Clock) -> None:
    add_local(conn, clock)
    with pytest.raises(Conflict):
        add_local(conn, clock)
    assert conn.execute("SELECT count(*) FROM carriers").fetchone() == (1,)


@pytest.mark.parametrize(
    ("smpp", "options"),
    [
        (SmppAccount("h", 1, "s" * 16, "p"), {}),
        (SmppAccount("h", 1, "s", "p" * 9), {}),
        (SmppAccount("h", 1, "s", "é"), {}),
        (SmppAccount("", 1, "s", "p"), {}),
        (SmppAccount("h", 0, "s", "p"), {}),
        (SmppAccount("h", 1, "s", "p"), {"window": 0}),
        (SmppAccount("h", 1, "s", "p"), {"rate_per_s": -1.0}),
        (SmppAccount("h", 1, "s", "p"), {"name": "a b"}),
    ],
)
def test_what_smpp_cannot_carry_is_refused(
    conn: psycopg.Connection, clock: Clock, smpp: SmppAccount, options: dict[str, float]
) -> None:
    with pytest.raises(Invalid):
        service.add_carrier(
            conn, KEY, **({"name": "c", "smpp": smpp, "now": clock.now()} | options)
        )


def test_a_carrier_that_must_be_there_follows_its_settings(
    conn: psycopg.Connection, clock: Clock
) -> None:
    def rows() -> list[tuple[object, ...]]:
        found = conn.execute("SELECT settings ->> 'port', secret_encrypted FROM carriers")
        return found.fetchall()

    service.ensure_carrier(conn, KEY, name="simulator", smpp=LOCAL, now=clock.now())
    first = rows()
    service.ensure_carrier(conn, KEY, name="simulator", smpp=LOCAL, now=clock.now())
    assert rows() == first
    moved = SmppAccount("127.0.0.1", 2776, "viesti", "fresh")
    service.ensure_carrier(conn, KEY, name="simulator", smpp=moved, now=clock.now())
    ((port, sealed),) = rows()
    assert port == "2776"
    assert isinstance(sealed, bytes)
    assert KEY.decrypt(service.PASSWORD_PURPOSE, sealed) == b"fresh"


@pytest.mark.parametrize(
    ("written", "number", "kind", "country"),
    [
        ("+12125550123", "+12125550123", SenderType.LONG_CODE, "US"),
        ("+1 (212) 555-0123", "+12125550123", SenderType.LONG_CODE, "US"),
        ("+18005550123", "+18005550123", SenderType.TOLL_FREE, "US"),
        ("+447400123456", "+447400123456", SenderType.LONG_CODE, "GB"),
        ("12345", "12345", SenderType.SHORT_CODE, ""),
        ("Viesti", "Viesti", SenderType.ALPHANUMERIC, ""),
    ],
)
def test_a_sender_is_classified(written: str, number: str, kind: SenderType, country: str) -> None:
    assert service.classify(written) == (number, kind, country)


@pytest.mark.parametrize("written", ["", "+1", "+1212555012x", "12", "far too long a name", "né"])
def test_what_is_no_sender_is_refused(written: str) -> None:
    with pytest.raises(Invalid):
        service.classify(written)


def test_the_first_sender_is_the_default_and_each_has_a_lane(
    conn: psycopg.Connection, clock: Clock
) -> None:
    add_local(conn, clock)
    account = add_account(conn, clock)
    for number in ("+12125550101", "+12125550102"):
        service.add_sender(
            conn, account_id=account, number=number, carrier_name="local", now=clock.now()
        )
    rows = conn.execute(
        "SELECT number, is_default, lanes.account_id = senders.account_id FROM senders"
        " JOIN lanes ON lanes.sender_id = senders.id ORDER BY number"
    ).fetchall()
    assert rows == [("+12125550101", True, True), ("+12125550102", False, True)]


def test_a_number_of_a_carrier_belongs_to_one_account(
    conn: psycopg.Connection, clock: Clock
) -> None:
    add_local(conn, clock)
    add_local(conn, clock, "second")
    one, two = add_account(conn, clock), add_account(conn, clock)
    arguments = {"number": "+12125550101", "now": clock.now()}
    service.add_sender(conn, account_id=one, carrier_name="local", **arguments)
    with pytest.raises(Conflict):
        service.add_sender(conn, account_id=two, carrier_name="local", **arguments)
    service.add_sender(conn, account_id=two, carrier_name="second", **arguments)
    with pytest.raises(NotFound):
        service.add_sender(conn, account_id=one, carrier_name="none", **arguments)


def test_two_that_are_allotted_at_once_get_different_numbers(
    pool: ConnectionPool[psycopg.Connection], clock: Clock
) -> None:
    with pool.connection() as conn:
        add_local(conn, clock)
        accounts = [add_account(conn, clock) for _ in range(6)]

    def allot(account: UUID) -> str:
        with pool.connection() as conn:
            return service.allot_sender(
                conn, account_id=account, carrier_name="local", now=clock.now()
            ).number

    with ThreadPoolExecutor(6) as threads:
        numbers = list(threads.map(allot, accounts))
    assert len(set(numbers)) == 6
    assert all("55501" in number for number in numbers)


def test_numbers_of_a_real_network_are_never_made_up(
    conn: psycopg.Connection, clock: Clock
) -> None:
    smpp = SmppAccount("smsc.example.com", 2775, "viesti", "hush")
    service.add_carrier(conn, KEY, name="real", smpp=smpp, now=clock.now())
    account = add_account(conn, clock)
    with pytest.raises(Conflict, match="--sender"):
        service.allot_sender(conn, account_id=account, carrier_name="real", now=clock.now())
