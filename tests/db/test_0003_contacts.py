"""Migration 0003 on a database in which the versions before it have worked."""

from __future__ import annotations

import psycopg
import pytest

from tests.db.test_0002_templates_groups import AT, apply
from viesti.domain.contacts.filters import ContactFilter, contact_ids
from viesti.kit.ids import new_id


def test_contacts_of_the_first_version_are_found_by_any_part(empty_dsn: str) -> None:
    for name in ("0001_spine", "0002_templates_groups"):
        apply(empty_dsn, name)
    account, ada, short = new_id(), new_id(), new_id()
    with psycopg.connect(empty_dsn) as conn:
        for row_id, mobile, name in ((ada, "+13475550101", "Ada"), (short, "O2", None)):
            conn.execute(
                "INSERT INTO contacts (account_id, id, mobile, first_name, tags, created_at,"
                " updated_at) VALUES (%s, %s, %s, %s, '{vip}', %s, %s)",
                (account, row_id, mobile, name, AT, AT),
            )
    apply(empty_dsn, "0003_contacts")
    with psycopg.connect(empty_dsn) as conn:
        conn.execute("SET enable_seqscan = off")
        for narrow, found in (
            (ContactFilter(q="ada"), [ada]),
            (ContactFilter(mobile="5550101"), [ada]),
            (ContactFilter(tags=("vip",)), [ada, short]),
        ):
            assert contact_ids(conn, account, narrow, None, 10) == found


@pytest.mark.parametrize("mobile", ["", "+", "+1", "O2", "EE", "3", "+12", "日"])
@pytest.mark.parametrize(("name", "tags"), [(None, []), ("A", ["a"]), ("é" * 200, ["a", "b"])])
def test_a_row_of_any_length_has_its_tokens(
    conn: psycopg.Connection, mobile: str, name: str | None, tags: list[str]
) -> None:
    row = conn.execute(
        "SELECT contact_search(u.a, u.m, u.n, NULL, NULL, u.t), search_grams(u.a,"
        " concat_ws(E'\\n\\n', substr(u.m, 2), lower(u.n))) || search_tags(u.a, u.t)"
        " FROM (SELECT %s::uuid AS a, %s::text AS m, %s::text AS n, %s::text[] AS t) u",
        (new_id(), mobile, name, tags),
    ).fetchone()
    assert row
    assert row[0] == row[1]
