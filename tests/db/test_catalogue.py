"""The rules that keep the schema distributable, read back from a migrated database."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from viesti.db.partitions import PARTITIONED, count_strays, ensure_partitions
from viesti.db.tables import Kind, metadata
from viesti.kit.ids import bound_at, new_id

TENANT = sorted(t.name for t in metadata.tables.values() if t.info["kind"] is Kind.TENANT)
BOOKKEEPING = {"alembic_version"}


def test_every_table_names_its_kind_in_its_comment(conn: psycopg.Connection) -> None:
    comments = dict(
        conn.execute(
            "SELECT c.relname, obj_description(c.oid) FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        ).fetchall()
    )
    for name in BOOKKEEPING:
        comments.pop(name)
    kinds = {name: (comment or "").split(":")[0] for name, comment in comments.items()}
    assert kinds == {t.name: t.info["kind"].value for t in metadata.tables.values()}


@pytest.mark.parametrize("table", TENANT)
def test_a_tenant_table_can_be_distributed_by_its_account(
    conn: psycopg.Connection, table: str
) -> None:
    unique = conn.execute(
        "SELECT i.indisprimary, ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int[])"
        "   WITH ORDINALITY k(n, o) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n"
        "   ORDER BY k.o)"
        " FROM pg_index i WHERE i.indrelid = %s::regclass AND i.indisunique",
        (table,),
    ).fetchall()
    primary = [columns for is_primary, columns in unique if is_primary]
    assert len(primary) == 1
    assert primary[0][0] == "account_id"
    assert [columns for _, columns in unique if "account_id" not in columns] == []

    refused = conn.execute(
        "SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal),"
        " (SELECT count(*) FROM pg_constraint WHERE conrelid = c.oid AND contype IN ('f', 'x')),"
        " (SELECT count(*) FROM pg_constraint WHERE confrelid = c.oid AND contype = 'f'),"
        " (SELECT count(*) FROM pg_rules WHERE tablename = c.relname), c.relpersistence"
        " FROM pg_class c WHERE c.oid = %s::regclass",
        (table,),
    ).fetchone()
    # No triggers, no foreign keys or exclusions, nobody's foreign key, no rules; logged.
    assert refused == (0, 0, 0, 0, "p")


def test_there_are_no_sequences(conn: psycopg.Connection) -> None:
    found = conn.execute("SELECT count(*) FROM pg_class WHERE relkind = 'S'").fetchone()
    assert found == (0,)


def test_partitions_reach_three_months_ahead_and_take_what_is_made_now(
    conn: psycopg.Connection,
) -> None:
    now = datetime.now(UTC)
    assert ensure_partitions(conn, now) == []  # the migration made them
    for parent in PARTITIONED:
        bounds = conn.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = %s::regclass", (parent,)
        ).fetchone()
        assert bounds == (5,)  # this month, three ahead, and the default one
    event = (new_id(), new_id(), "message-sent", now)
    conn.execute(
        "INSERT INTO events (account_id, id, type, facts, created_at)"
        " VALUES (%s, %s, %s, '{}', %s)",
        event,
    )
    assert count_strays(conn) == 0
    conn.execute(
        "INSERT INTO events (account_id, id, type, facts, created_at)"
        " VALUES (%s, %s, 'message-sent', '{}', %s)",
        (new_id(), bound_at(datetime(2020, 1, 1, tzinfo=UTC)), now),
    )
    assert count_strays(conn) == 1
