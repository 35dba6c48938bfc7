"""viesti/db/migrate.py."""

import psycopg
import pytest

from viesti.db.migrate import (
    WrongSchema,
    check_version,
    find_differences,
    find_version,
    migrate,
    newest_version,
)


def test_migrations_equal_the_declared_tables(dsn: str) -> None:
    assert find_differences(dsn) == []


def test_a_missing_index_or_column_is_a_difference(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("DROP INDEX ix_senders_account_id")
        conn.execute("ALTER TABLE accounts ADD COLUMN surplus text")
        conn.execute("ALTER TABLE balances ALTER COLUMN available_micros TYPE int")
    differences = " ".join(find_differences(dsn))
    assert "ix_senders_account_id" in differences
    assert "surplus" in differences
    assert "available_micros" in differences


def test_migrating_twice_changes_nothing(empty_dsn: str) -> None:
    assert find_version(empty_dsn) is None
    assert migrate(empty_dsn) == newest_version()
    assert migrate(empty_dsn) == newest_version()
    assert find_version(empty_dsn) == newest_version()


def test_a_database_without_tables_is_refused_and_says_what_to_do(empty_dsn: str) -> None:
    with pytest.raises(WrongSchema, match="run `viesti migrate`"):
        check_version(empty_dsn)


def test_a_database_of_a_newer_viesti_is_refused(dsn: str) -> None:
    check_version(dsn)
    with psycopg.connect(dsn) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(WrongSchema, match="install the newer viesti"):
        check_version(dsn)
