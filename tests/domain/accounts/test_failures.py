"""Counting failed sign-ins."""

from __future__ import annotations

import psycopg
import pytest

from tests.conftest import Clock
from viesti.domain.accounts.failures import (
    MAX_BY_ADDRESS,
    MAX_BY_CLIENT,
    WINDOW,
    address_subject,
    client_subject,
    load_failures,
    record_failure,
)
from viesti.kit.ids import new_id


def test_failures_block_until_their_window_is_over(conn: psycopg.Connection, clock: Clock) -> None:
    subject = address_subject("203.0.113.1")
    for _ in range(MAX_BY_ADDRESS - 1):
        assert record_failure(conn, [subject], clock.now())[subject].blocked_for_s(clock.now()) == 0
    clock.advance(60)
    counted = record_failure(conn, [subject], clock.now())[subject]
    assert counted.failures == MAX_BY_ADDRESS
    assert counted.blocked_for_s(clock.now()) == WINDOW.total_seconds() - 60
    assert load_failures(conn, [subject], clock.now())[subject] == counted
    clock.advance(WINDOW.total_seconds() - 60)
    assert counted.blocked_for_s(clock.now()) == 0
    assert load_failures(conn, [subject], clock.now()) == {}
    assert record_failure(conn, [subject], clock.now())[subject].failures == 1


def test_a_client_is_blocked_later_than_an_address(conn: psycopg.Connection, clock: Clock) -> None:
    client = client_subject(new_id())
    for _ in range(MAX_BY_CLIENT - 1):
        counted = record_failure(conn, [client], clock.now())[client]
        assert counted.blocked_for_s(clock.now()) == 0
    assert record_failure(conn, [client], clock.now())[client].blocked_for_s(clock.now()) > 0


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("203.0.113.1", "address:203.0.113.1"),
        ("::ffff:203.0.113.1", "address:203.0.113.1"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "address:2001:db8:1:2::/64"),
        ("", "address:unknown"),
        ("testclient", "address:unknown"),
    ],
)
def test_addresses_of_one_customer_are_one_subject(address: str, subject: str) -> None:
    assert address_subject(address) == subject
