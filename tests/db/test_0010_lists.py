"""Migration 0010 on lists that were made before keywords did anything."""

from __future__ import annotations

import psycopg
from psycopg.types.json import Jsonb

from viesti.db.migrate import migrate
from viesti.kit.ids import new_id


def test_the_oldest_list_without_a_filter_keeps_a_keyword(dsn: str) -> None:
    one, other = new_id(), new_id()
    with psycopg.connect(dsn) as conn:
        # Back to what 0009 had.
        conn.execute("DROP INDEX uq_lists_account_id_keyword")
        conn.execute("DROP TABLE list_prompts")
        conn.execute("UPDATE alembic_version SET version_num = '0009'")
        for account, name, keyword, narrow in (
            (one, "a", "JOIN", Jsonb({"q": "x"})),
            (one, "b", "JOIN", None),
            (one, "c", "JOIN", None),
            (one, "d", None, None),
            (other, "e", "JOIN", None),
        ):
            conn.execute(
                "INSERT INTO lists (account_id, id, name, keyword, filter, created_at, updated_at)"
                " VALUES (%s, %s, %s, %s, %s, now(), now())",
                (account, new_id(), name, keyword, narrow),
            )
    migrate(dsn)
    with psycopg.connect(dsn) as conn:
        kept = conn.execute("SELECT name FROM lists WHERE keyword = 'JOIN' ORDER BY name")
        assert kept.fetchall() == [("b",), ("e",)]
