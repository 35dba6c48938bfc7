"""Contacts that come and go while a bulk call writes them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from viesti.domain.accounts.service import create_account
from viesti.domain.contacts.models import ContactInput, MergeStrategy, ParsedContact, parse_contact
from viesti.domain.contacts.upsert import find_contacts_by_mobile, upsert_contacts
from viesti.kit.clock import utc_now

NUMBERS = [f"+1347555{number:04d}" for number in range(2_000, 2_100)]


class Meddled(psycopg.Connection[Any]):
    """A connection beside which another creates ``NUMBERS[0]`` and deletes it again.

    Created once the bulk call has seen that nobody has it, deleted before it looks who has.
    """

    other: psycopg.Connection[Any]
    seen = 0

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        if "FROM contacts" in str(query):
            self.seen += 1
            if self.seen == 2:
                self.other.execute("UPDATE contacts SET deleted_at = now()")
        result = super().execute(query, *args, **kwargs)
        if self.seen == 1 and "FROM contacts" in str(query):
            self.other.execute(
                "INSERT INTO contacts (account_id, id, mobile, country, attributes, tags,"
                " created_at, updated_at) SELECT id, id, %s, 'US', '{}', '{}', now(), now()"
                " FROM accounts",
                (NUMBERS[0],),
            )
        return result


@pytest.mark.parametrize("count", [1, len(NUMBERS)])
def test_a_contact_that_was_in_the_way_and_is_gone_is_made(
    dsn: str, pool: ConnectionPool[psycopg.Connection], count: int
) -> None:
    now = utc_now()
    with pool.connection() as conn:
        account = create_account(conn, name="Acme", balance_micros=0, now=now).id
    given: list[ParsedContact] = []
    for number in NUMBERS[:count]:
        parsed = parse_contact(ContactInput(mobile=number), "US")
        assert isinstance(parsed, ParsedContact)
        given.append(parsed)
    with Meddled.connect(dsn) as conn, psycopg.connect(dsn, autocommit=True) as other:
        conn.other = other
        rows = upsert_contacts(conn, account, given, MergeStrategy.APPEND, now)
        assert conn.seen == 2
    assert set(rows) == set(NUMBERS[:count])
    with pool.connection() as conn:
        stored = find_contacts_by_mobile(conn, account, NUMBERS)
    assert {row.mobile: row.id for row in stored.values()} == {
        number: row.id for number, row in rows.items()
    }
