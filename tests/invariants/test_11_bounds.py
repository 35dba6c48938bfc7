"""Invariant 11: of each table it is known what keeps it from growing for ever."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from viesti.db.tables import metadata
from viesti.housekeeping import retention

# One row for each thing that people set up or that runs, kept until it is taken away.
SET_UP = {
    "accounts",
    "api_credentials",
    "balances",
    "binds",
    "campaigns",
    "carriers",
    "carrier_state",
    "contacts",
    "group_users",
    "groups",
    "hidden_tags",
    "lanes",
    "list_members",
    "lists",
    "memberships",
    "opt_outs",
    "platform",
    "price_table",
    "row_counts",
    "senders",
    "signing_keys",
    "templates",
    "users",
    "webhooks",
}
# The books, kept on purpose: partitioned by month, or one row per batch.
KEPT = {"campaign_runs", "conversations", "jobs", "ledger", "message_segments", "messages"}
# Emptied by the work that they are for.
WORKED_OFF = {
    "campaign_rows",  # a run's file: each chunk goes as its texts are written
    "contact_removals",  # until the totals count them (``row_counts``)
    "import_chunks",  # an import's file: all of it goes at the import's end
    "dispatch_queue",  # each outcome takes its row away
    "parked_messages",  # 24 or 72 hours (domain/messages/expiry.py)
    "inbound_parts",  # parts that never came whole (inbound/sweeps.py)
}
HOT = ("dispatch_queue", "webhook_deliveries")


def test_each_table_is_set_up_kept_on_purpose_worked_off_or_purged() -> None:
    tables = {table.name for table in metadata.tables.values()}
    room = Path(retention.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(room.glob("*.py")))
    purged = tables & set(re.findall(r'(?:"|FROM )(\w+)', source))
    unbounded = tables - SET_UP - KEPT - WORKED_OFF - purged
    assert unbounded == set(), "say here, or in viesti/housekeeping, what bounds them"


@pytest.mark.parametrize("table", HOT)
def test_what_is_written_and_deleted_all_day_is_vacuumed_by_its_own_settings(
    conn: psycopg.Connection, table: str
) -> None:
    row = conn.execute(
        "SELECT reloptions FROM pg_class WHERE oid = %s::regclass", (table,)
    ).fetchone()
    assert row
    names = {option.partition("=")[0] for option in row[0] or ()}
    assert {"autovacuum_vacuum_scale_factor", "autovacuum_vacuum_threshold"} <= names
