"""Bring a database to this version's tables, and tell whether it is there.

``serve`` and ``viesti migrate`` migrate; every other role only checks. Alembic is driven from
here, without an ini file, so that it works from an installed package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from viesti.db.partitions import ensure_partitions
from viesti.db.tables import metadata
from viesti.kit.clock import utc_now
from viesti.kit.errors import Unavailable

# An arbitrary number, the same in every version: two migrations never run at once.
MIGRATION_LOCK = 0x7669657374693031  # "viesti01"
NAME = "viesti migrate"


class WrongSchema(Unavailable):
    """The database is of another version of viesti than this one."""


def migrate(dsn: str) -> str:
    """Apply what is missing and make the partitions; returns the version. Repeatable.

    ``dsn`` must go past any transaction pooler: an advisory lock is held meanwhile.
    """
    with psycopg.connect(dsn, autocommit=True, application_name=NAME) as lock:
        lock.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        config = _config()
        with _engine(dsn).connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        ensure_partitions(lock, utc_now())
    return newest_version()


def newest_version() -> str:
    """The version that this release of viesti works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def known_versions() -> set[str]:
    """All versions that this release can migrate from, its own included."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return {script.revision for script in scripts}


def find_version(dsn: str) -> str | None:
    """The version of the database, or None before the first migration."""
    with psycopg.connect(dsn, application_name=NAME) as conn:
        exists = conn.execute("SELECT to_regclass('alembic_version')").fetchone()
        if exists is None or exists[0] is None:
            return None
        row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row is not None else None


def check_version(dsn: str) -> None:
    """Raises WrongSchema, saying what to do, unless the database is of this very version."""
    found, wanted = find_version(dsn), newest_version()
    if found == wanted:
        return
    if found is None:
        raise WrongSchema("The database has no tables yet: run `viesti migrate`.")
    if found in known_versions():
        raise WrongSchema(
            f"The database is of version {found} and viesti needs {wanted}: run `viesti migrate`."
        )
    raise WrongSchema(
        f"The database is of version {found}, which this version of viesti does not know:"
        " install the newer viesti again."
    )


def find_differences(dsn: str) -> list[str]:
    """In what the migrated database differs from ``viesti.db.tables``; empty if in nothing."""
    with _engine(dsn).connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_object": include_object,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        return [str(difference) for difference in compare_metadata(context, metadata)]


def include_object(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """Leave out of comparisons what no table module declares: partitions and their indexes."""
    if not reflected or other is not None:
        return True
    table = name if kind == "table" else getattr(getattr(thing, "table", None), "name", name)
    return table in metadata.tables


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _engine(dsn: str) -> Engine:
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(dsn, application_name=NAME),
        poolclass=NullPool,
    )
