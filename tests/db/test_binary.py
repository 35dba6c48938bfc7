"""Arrays and rows in PostgreSQL's binary format come back as what went in."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import psycopg
import pytest

from viesti.db.binary import (
    ByteaArray,
    TextArray,
    UuidArray,
    bool_field,
    bytea_field,
    copy_rows,
    int2_field,
    int8_field,
    json_field,
    moment_field,
    row_head,
    text_array_field,
    text_field,
    uuid_field,
)
from viesti.kit.ids import new_id


@pytest.mark.parametrize("count", [0, 1, 3])
def test_arrays_keep_their_values_and_order(conn: psycopg.Connection, count: int) -> None:
    ids = [new_id() for _ in range(count)]
    texts = ["", "Zoë 🎉", "x" * 70_000][:count]
    octets = [b"", b"\x00\xff", bytes(2_000)][:count]
    row = conn.execute(
        "SELECT %b, %b, %b", (UuidArray(ids), TextArray(texts), ByteaArray(octets))
    ).fetchone()
    assert row == (ids, texts, octets)


def test_a_missing_text_is_null(conn: psycopg.Connection) -> None:
    row = conn.execute("SELECT %b", (TextArray(["a", None, "b"]),)).fetchone()
    assert row == (["a", None, "b"],)


def test_copied_rows_keep_their_values(conn: psycopg.Connection) -> None:
    conn.execute(
        "CREATE TEMP TABLE things (id uuid, name text, few int2, many int8, yes bool, at"
        " timestamptz, facts jsonb, tags text[], octets bytea)"
    )
    at = datetime(1999, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)
    full = (new_id(), "Zoë " * 500, -3, 10**15, True, at, {"a": ["ü", None]}, ["x", ""], b"\x00")
    empty = (None, None, 0, 0, False, None, None, [], b"")
    rows = [
        b"".join(
            (
                row_head(9),
                uuid_field(full[0]),
                text_field(full[1]),
                int2_field(full[2]),
                int8_field(full[3]),
                bool_field(full[4]),
                moment_field(full[5]),
                json_field('{"a": ["ü", null]}'.encode()),
                text_array_field(full[7]),
                bytea_field(full[8]),
            )
        ),
        b"".join(
            (
                row_head(9),
                uuid_field(None),
                text_field(None),
                int2_field(0),
                int8_field(0),
                bool_field(False),
                moment_field(None),
                json_field(None),
                text_array_field(()),
                bytea_field(b""),
            )
        ),
    ]
    copy_rows(conn, "things", "id, name, few, many, yes, at, facts, tags, octets", rows)
    assert conn.execute("SELECT * FROM things ORDER BY yes DESC").fetchall() == [full, empty]


def test_a_nul_in_a_text_is_refused_by_the_database(conn: psycopg.Connection) -> None:
    with pytest.raises(psycopg.DataError):
        conn.execute("SELECT %b", (TextArray(["a\x00b"]),))


def test_a_pool_that_is_opened_before_anything_else_is_imported_knows_the_arrays(
    dsn: str,
) -> None:
    # As in a worker of the API, which imports its routes when the pool is open already.
    program = (
        "import sys; from viesti.db.pool import open_pool;"
        " pool = open_pool(sys.argv[1], 1, 1, 'test');"
        " from viesti.db.binary import TextArray;"
        " print(pool.connection().__enter__().execute("
        "'SELECT %b', [TextArray(['a'])]).fetchone())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, dsn], capture_output=True, text=True, check=False
    )
    assert "(['a'],)" in done.stdout, done.stderr[-500:]
