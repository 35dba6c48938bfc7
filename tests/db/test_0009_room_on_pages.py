"""A database from before has the same room on its pages as a new one, in partitions too."""

from __future__ import annotations

import psycopg

from tests.db.test_0002_templates_groups import apply
from viesti.db.migrate import migrate
from viesti.db.partitions import FILLFACTORS
from viesti.db.tables import metadata

_FILL = """
SELECT coalesce(i.inhparent::regclass::text, c.relname), c.relname,
       (SELECT split_part(o, '=', 2)::int FROM unnest(c.reloptions) o WHERE o LIKE 'fillfactor=%')
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
"""


def test_migrated_tables_and_partitions_have_the_declared_room(empty_dsn: str) -> None:
    migrate(empty_dsn)
    with psycopg.connect(empty_dsn) as conn:
        # As they were made before.
        months = conn.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'messages'::regclass AND inhrelid <> 'messages_default'::regclass"
        ).fetchall()
        assert months
        for (name,) in [*months, ("message_segments",), ("dispatch_queue",), ("conversations",)]:
            conn.execute(f"ALTER TABLE {name} SET (fillfactor = 70)".encode())
    apply(empty_dsn, "0009_room_on_pages")
    declared = {
        table.name: int(table.dialect_options["postgresql"]["with"]["fillfactor"])
        for table in metadata.tables.values()
        if "fillfactor" in (table.dialect_options["postgresql"]["with"] or {})
    }
    with psycopg.connect(empty_dsn) as conn:
        for parent, name, fill in conn.execute(_FILL):
            if name.endswith("_default"):
                continue
            expected = FILLFACTORS.get(parent) if parent != name else declared.get(name)
            assert (name, fill) == (name, expected)
