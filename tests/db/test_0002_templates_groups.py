"""Migration 0002 on a database in which 0001 has worked: accounts keep their group's id."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

import viesti.db.migrations.versions as versions
from viesti.kit.ids import new_id

AT = datetime(2026, 3, 1, tzinfo=UTC)


def apply(dsn: str, name: str) -> None:
    folder = Path(next(iter(versions.__path__)))
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool
    )
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        module.upgrade()


def test_every_account_gets_its_default_group_and_keeps_what_is_unread(empty_dsn: str) -> None:
    apply(empty_dsn, "0001_spine")
    account = new_id()
    with psycopg.connect(empty_dsn) as conn:
        conn.execute(
            "INSERT INTO accounts (id, name, created_at) VALUES (%s, 'Shop', %s)", (account, AT)
        )
        for mobile, unread in (("+1", True), ("+2", False)):
            conn.execute(
                "INSERT INTO conversations (account_id, id, contact_id, sender_id, mobile, sender,"
                " unread, created_at, updated_at) VALUES (%s, %s, %s, %s, %s, '+3', %s, %s, %s)",
                (account, new_id(), new_id(), new_id(), mobile, unread, AT, AT),
            )
    apply(empty_dsn, "0002_templates_groups")
    with psycopg.connect(empty_dsn) as conn:
        groups = conn.execute("SELECT account_id, id, name, is_default FROM groups").fetchall()
        assert groups == [(account, account, "Default", True)]
        threads = conn.execute(
            "SELECT unread, last_inbound_at, read_by FROM conversations ORDER BY mobile"
        ).fetchall()
        assert threads == [(True, AT, []), (False, None, [])]
