"""viesti/db/embedded: a real server that is started, adopted, killed and taken over."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from viesti.db.embedded import DatabaseHandle, Layout, Server, ensure_database
from viesti.db.embedded.account import SERVICE_ACCOUNTS, get_account
from viesti.kit.config import Settings
from viesti.kit.errors import Unavailable

# Holds the database until its standard input ends, as another process would.
OTHER = """
import sys
from pathlib import Path
from viesti.db.embedded import ensure_database
from viesti.kit.config import Settings
with ensure_database(Settings(data_dir=Path(sys.argv[1])), durable=False):
    print("in use", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings() -> Generator[Settings]:
    """Settings of a data folder without a server yet, in a place that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="viesti-") as folder:
        Path(folder).chmod(0o711)
        settings = Settings(data_dir=Path(folder) / "data")
        yield settings
        Server(Layout(settings.data_dir)).stop()


def start(settings: Settings) -> DatabaseHandle:
    return ensure_database(settings, durable=False)


def pid_of(handle: DatabaseHandle) -> int:
    assert handle.server is not None
    pid = handle.server.find_pid()
    assert pid is not None
    return pid


def is_alive(pid: int) -> bool:
    """Whether the process runs; a dead one may wait a while for init to take note of it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def write_row(handle: DatabaseHandle) -> None:
    with psycopg.connect(handle.dsn) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS kept (at timestamptz)")
        conn.execute("INSERT INTO kept VALUES (now())")


def count_rows(handle: DatabaseHandle) -> int:
    with psycopg.connect(handle.dsn) as conn:
        row = conn.execute("SELECT count(*) FROM kept").fetchone()
        assert row is not None
        return int(row[0])


def start_other(settings: Settings) -> subprocess.Popen[str]:
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(settings.data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "in use\n"
    return other


def end_other(other: subprocess.Popen[str]) -> None:
    other.communicate("")
    assert other.returncode == 0


def test_data_stays_from_one_start_to_the_next(settings: Settings) -> None:
    with start(settings) as handle:
        write_row(handle)
        pid = pid_of(handle)
    assert not is_alive(pid)
    with start(settings) as handle:
        assert count_rows(handle) == 1


def test_it_is_safe_by_default(settings: Settings) -> None:
    with ensure_database(settings) as handle, psycopg.connect(handle.dsn) as conn:
        row = conn.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
            " current_setting('full_page_writes'), current_setting('data_checksums'),"
            " current_setting('listen_addresses'), current_setting('server_encoding'),"
            " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
        ).fetchone()
        assert row == ("on", "on", "on", "on", "", "UTF8", False)


def test_only_the_password_opens_it_and_only_its_owner_reaches_the_socket(
    settings: Settings,
) -> None:
    with start(settings) as handle:
        layout = Layout(settings.data_dir)
        _admin, password = layout.read_passwords()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(handle.dsn.replace(password, "guessed"))
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(handle.dsn.replace(f":{password}", ""))
        assert stat.S_IMODE(layout.socket_dir.stat().st_mode) == 0o700
        assert stat.S_IMODE(layout.password_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(layout.pgdata.stat().st_mode) == 0o700
        command_line = " ".join(psutil.Process(pid_of(handle)).cmdline())
        assert password not in command_line


def test_it_has_a_session_of_its_own(settings: Settings) -> None:
    with start(settings) as handle:
        assert os.getsid(pid_of(handle)) != os.getsid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to switch users")
def test_started_by_root_it_runs_as_a_service_account(settings: Settings) -> None:
    with start(settings) as handle:
        uid = psutil.Process(pid_of(handle)).uids().effective
        assert uid != 0
        assert pwd.getpwuid(uid).pw_name in (*SERVICE_ACCOUNTS, "nobody")
        assert get_account(Layout(settings.data_dir).pgdata).uid == uid
        assert settings.data_dir.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to switch users")
def test_a_closed_folder_above_is_opened_to_the_service_account_alone(settings: Settings) -> None:
    closed = settings.data_dir.parent
    closed.chmod(0o700)
    told: list[str] = []
    with ensure_database(settings, durable=False, report=told.append) as handle:
        write_row(handle)
    assert any("may now pass through" in line for line in told)
    nobody = pwd.getpwnam("nobody").pw_uid
    looked = subprocess.run(
        ["ls", str(closed / "data")], check=False, capture_output=True, user=nobody, group=nobody
    )
    assert looked.returncode != 0


def test_a_killed_server_recovers_and_loses_nothing(settings: Settings) -> None:
    with ensure_database(settings) as handle:
        write_row(handle)
        os.kill(pid_of(handle), signal.SIGKILL)
        while handle.server is not None and handle.server.find_pid() is not None:
            time.sleep(0.01)
        assert handle.ensure_running() is True
        assert handle.ensure_running() is False
        assert count_rows(handle) == 1


def test_a_stale_pid_file_with_somebody_elses_number_is_cleared(settings: Settings) -> None:
    with ensure_database(settings) as handle:
        write_row(handle)
        pid_file = Layout(settings.data_dir).pgdata / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        os.kill(pid_of(handle), signal.SIGKILL)
    # As after a restart of the machine: the number now belongs to another program.
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        pid_file.write_text("\n".join([str(sleeper.pid), *lines[1:]]) + "\n")
        with start(settings) as handle:
            assert pid_of(handle) != sleeper.pid
            assert count_rows(handle) == 1
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_whoever_leaves_last_stops_it(settings: Settings) -> None:
    other = start_other(settings)
    handle = start(settings)
    pid = pid_of(handle)
    end_other(other)
    assert is_alive(pid)  # started by the other, and still ours to use
    write_row(handle)
    handle.close()
    handle.close()
    assert not is_alive(pid)


def test_it_goes_on_when_one_of_its_users_is_killed(settings: Settings) -> None:
    other = start_other(settings)
    with start(settings) as handle:
        other.kill()
        other.wait()
        write_row(handle)
        pid = pid_of(handle)
    assert not is_alive(pid)


def test_a_server_that_nobody_uses_any_more_is_adopted(settings: Settings) -> None:
    other = start_other(settings)
    pid = Server(Layout(settings.data_dir)).find_pid()
    other.kill()
    other.wait()
    with start(settings) as handle:
        assert pid_of(handle) == pid
    assert pid is not None
    assert not is_alive(pid)


def test_many_that_start_at_once_share_one_server(settings: Settings) -> None:
    with ThreadPoolExecutor(4) as threads:
        handles = list(threads.map(lambda _n: start(settings), range(4)))
    assert len({pid_of(handle) for handle in handles}) == 1
    for handle in handles:
        handle.close()
    assert Server(Layout(settings.data_dir)).find_pid() is None


def test_a_killed_initdb_leaves_nothing_in_the_way(settings: Settings) -> None:
    leftover = settings.data_dir / "postgres.new"
    leftover.mkdir(parents=True)
    (leftover / "PG_VERSION").write_text("18\n")
    settings.data_dir.chmod(0o711)
    with start(settings) as handle:
        write_row(handle)


def test_a_long_path_moves_the_socket_elsewhere(settings: Settings) -> None:
    deep = settings.data_dir.parent / ("d" * 60) / ("e" * 60)
    deep.parent.mkdir(mode=0o711)
    with start(Settings(data_dir=deep)) as handle:
        write_row(handle)
        layout = Layout(deep)
        assert deep not in layout.socket_dir.parents
        assert stat.S_IMODE(layout.socket_dir.stat().st_mode) == 0o700
    layout.socket_dir.rmdir() if not list(layout.socket_dir.iterdir()) else None


def test_a_server_that_cannot_start_says_why(settings: Settings) -> None:
    with start(settings):
        pass
    conf = Layout(settings.data_dir).pgdata / "local.conf"
    conf.write_text("shared_buffers = nonsense\n")
    conf.chmod(0o644)
    with pytest.raises(Unavailable, match="shared_buffers"):
        start(settings)


def test_another_major_version_is_refused_with_the_command_to_run(settings: Settings) -> None:
    with start(settings):
        pass
    (Layout(settings.data_dir).pgdata / "PG_VERSION").write_text("16\n")
    with pytest.raises(Unavailable, match="run `viesti upgrade-db`"):
        start(settings)
    (Layout(settings.data_dir).pgdata / "PG_VERSION").write_text("18\n")


def test_an_external_database_is_never_started_or_stopped() -> None:
    settings = Settings(
        database_url="postgresql://h/d", database_direct_url="postgresql://direct/d"
    )
    handle = ensure_database(settings)
    assert (handle.dsn, handle.direct_dsn) == ("postgresql://h/d", "postgresql://direct/d")
    assert not handle.owned
    assert handle.ensure_running() is False
    handle.close()
