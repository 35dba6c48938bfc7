"""The harness: one embedded PostgreSQL per test run, one fresh database per test.

All xdist workers share the server (the first starts it, the last stops it). A migrated
database is the template that each test's own is cloned from. Fixtures: ``dsn``, ``conn``,
``pool``, ``settings``, ``clock``, ``free_port``.
"""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool

from viesti.db.embedded import ADMIN, Layout, Server, ensure_database
from viesti.db.migrate import migrate
from viesti.db.pool import open_pool
from viesti.kit.config import Settings

# The folder of this run, handed from the controlling process to its workers.
RUN_FOLDER = "TEST_RUN_FOLDER"
TEMPLATE = "viesti_template"
MEMORY_BYTES = 4 * 2**30


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="viesti-tests-", dir=_find_memory()))
        folder.chmod(0o711)  # the server's own user passes through, when root runs the tests
        os.environ[RUN_FOLDER] = str(folder)
    # Settings of the person who runs the tests must not reach them.
    for name in [name for name in os.environ if name.startswith("VIESTI_")]:
        del os.environ[name]


def _find_memory() -> str | None:
    """A file system in memory with room for the run's databases, if there is one."""
    shm = Path("/dev/shm")
    roomy = shm.is_dir() and shutil.disk_usage(shm).free > MEMORY_BYTES
    return str(shm) if roomy else None


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(RUN_FOLDER))
        # A worker that was killed could not give the server up.
        Server(Layout(folder / "data")).stop()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class TestServer:
    """The run's server; ``create`` clones a database from ``template``."""

    layout: Layout
    admin: psycopg.Connection
    made: int = 0

    def create(self, template: str = TEMPLATE) -> str:
        """The DSN of a fresh database; ``template0`` gives one without tables."""
        self.made += 1
        name = f"test_{os.getpid()}_{self.made}"
        self.admin.execute(
            # FILE_COPY: eight times as fast as the default when nothing has to be synced.
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER viesti STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return self.layout.dsn(database=name)

    def drop(self, dsn: str) -> None:
        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        self.admin.execute(
            sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name)))
        )


@pytest.fixture(scope="session")
def server() -> Generator[TestServer]:
    folder = Path(os.environ[RUN_FOLDER])
    settings = Settings(data_dir=folder / "data")
    with ensure_database(settings, durable=False):
        layout = Layout(settings.data_dir)
        with psycopg.connect(layout.dsn(ADMIN, "postgres"), autocommit=True) as admin:
            with (folder / "template.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                _ensure_template(layout, admin)
            yield TestServer(layout, admin)


def _ensure_template(layout: Layout, admin: psycopg.Connection) -> None:
    found = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE])
    if found.fetchone() is None:
        admin.execute(f"CREATE DATABASE {TEMPLATE} OWNER viesti")
        migrate(layout.dsn(database=TEMPLATE))


@pytest.fixture
def dsn(server: TestServer) -> Generator[str]:
    """A migrated database of this test alone."""
    dsn = server.create()
    yield dsn
    server.drop(dsn)


@pytest.fixture
def empty_dsn(server: TestServer) -> Generator[str]:
    """A database of this test alone, without any table."""
    dsn = server.create("template0")
    yield dsn
    server.drop(dsn)


@pytest.fixture
def conn(dsn: str) -> Generator[psycopg.Connection]:
    """A connection to ``dsn``; what is not committed rolls back."""
    with psycopg.connect(dsn) as conn:
        yield conn
        conn.rollback()


@pytest.fixture
def pool(dsn: str) -> Generator[ConnectionPool[psycopg.Connection]]:
    pool = open_pool(dsn, 1, 8, "test")
    yield pool
    pool.close()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Call it for a TCP port of 127.0.0.1 that was free a moment ago."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def settings(dsn: str, tmp_path: Path, free_port: Callable[[], int]) -> Settings:
    """Settings of an installation on ``dsn`` with its own folder, ports and key."""
    return Settings(
        database_url=dsn,
        data_dir=tmp_path,
        secret_key=base64.b64encode(os.urandom(32)).decode(),
        port=free_port(),
        simulator_port=free_port(),
        simulator_http_port=free_port(),
        demo=False,
    )


@dataclass(slots=True)
class Clock:
    """Time that moves when told to: pass ``clock.now`` or ``clock.now()`` where code asks."""

    moment: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 10, tzinfo=UTC))

    def now(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> datetime:
        self.moment += timedelta(seconds=seconds)
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()
