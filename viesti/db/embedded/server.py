"""Start, adopt and stop one embedded PostgreSQL server.

Called by ``viesti.db.embedded`` with the start lock held, so nothing here races with itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

from viesti.db.embedded.account import Account, ensure_reach, get_account
from viesti.db.embedded.binaries import Binaries, get_binaries
from viesti.db.embedded.layout import (
    ADMIN,
    DATABASE,
    OWNER,
    PORT,
    Layout,
    access_rules,
    configuration,
    write_private,
)
from viesti.kit.errors import Unavailable

Report = Callable[[str], None]
POLL_S = 0.05
REPORT_EVERY_S = 5.0
UNSAFE_FOR_TESTS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
# sqlstate 57P03: starting up, recovering or shutting down.
NOT_NOW = "57P03"


@dataclass(slots=True)
class Server:
    """One cluster: ``layout`` says where, ``binaries`` with which programs."""

    layout: Layout
    binaries: Binaries = field(default_factory=get_binaries)
    durable: bool = True  # False only for tests: fsync off
    report: Report = lambda _line: None
    _child: subprocess.Popen[Any] | None = None

    @property
    def account(self) -> Account:
        return get_account(self.layout.pgdata)

    def find_pid(self) -> int | None:
        """The postmaster's process id if it runs, ours or started by somebody before us."""
        if self._child is not None:
            self._child.poll()  # reaps it, so that it does not look alive as a zombie
        try:
            pid = int((self.layout.pgdata / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except PermissionError as error:
            raise Unavailable(
                f"{self.layout.pgdata} belongs to another user: run this as that user."
            ) from error
        return pid if _works_in(pid, self.layout.pgdata) else None

    def ensure_running(self) -> None:
        """Start the server unless it runs; return once it takes connections.

        Crash recovery takes as long as it takes. Raises Unavailable with the server's own
        words if it ends instead.
        """
        self._check_major()
        account = self.account
        self.layout.prepare(account)
        if self.find_pid() is None:
            ensure_reach(account, self.binaries, self.layout.data_dir, self.report)
            if not (self.layout.pgdata / "PG_VERSION").exists():
                self._create(account)
            self._clear_stale()
            self._spawn(account)
        self._wait_until_ready()
        self._ensure_owner()

    def stop(self) -> None:
        """Fast shutdown (open transactions roll back), waiting until the process is gone."""
        pid = self.find_pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGINT)
        began = told = time.monotonic()
        # The pid file goes a moment before the process does.
        while _is_alive(pid):
            if self._child is not None:
                self._child.poll()
            time.sleep(POLL_S)
            if time.monotonic() - told > REPORT_EVERY_S:
                told = time.monotonic()
                self.report(f"PostgreSQL is writing its last pages, {told - began:.0f} s so far.")

    def _check_major(self) -> None:
        version = self.layout.pgdata / "PG_VERSION"
        try:
            major = int(version.read_text()) if version.exists() else self.binaries.major
        except PermissionError as error:
            raise Unavailable(
                f"{self.layout.pgdata} belongs to another user: run this as that user."
            ) from error
        if major != self.binaries.major:
            raise Unavailable(
                f"The database was made by PostgreSQL {major} and this version of viesti runs"
                f" PostgreSQL {self.binaries.major}: run `viesti upgrade-db`."
            )

    def _create(self, account: Account) -> None:
        """initdb beside the final place, moved there once complete."""
        self.report("Making the database.")
        fresh = self.layout.pgdata.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        account.take(fresh)
        admin, _owner = self.layout.read_passwords()
        password = self.layout.socket_dir / "initdb.password"
        write_private(password, admin + "\n")
        account.take(password)
        command = [
            self.binaries.program("initdb"),
            f"--pgdata={fresh}",
            f"--username={ADMIN}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--data-checksums",
            "--no-instructions",
            "--locale=C",
        ]
        if self.binaries.major >= 17:  # the builtin provider came with 17
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if not self.durable:
            command.append("--no-sync")
        try:
            done = _run(account, command)
        finally:
            password.unlink(missing_ok=True)
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise Unavailable(f"The database could not be made: {_last_words(done.stdout)}")
        _write(account, fresh / "pg_hba.conf", access_rules())
        with (fresh / "postgresql.conf").open("a") as file:
            file.write("\ninclude_if_exists 'viesti.conf'\ninclude_if_exists 'local.conf'\n")
        fresh.rename(self.layout.pgdata)

    def _clear_stale(self) -> None:
        """Wait for the orphans of a killed postmaster, then remove what it left behind.

        PostgreSQL itself refuses a pid file whose number now belongs to some other process,
        which after a restart of a machine or container is quite likely, or to a zombie.
        Removing the files is safe only when nothing works in the cluster's folder any more.
        """
        began = told = time.monotonic()
        while any(_works_in(pid, self.layout.pgdata) for pid in psutil.pids()):
            time.sleep(POLL_S)
            if time.monotonic() - told > REPORT_EVERY_S:
                told = time.monotonic()
                self.report(f"Waiting for parts of a killed server, {told - began:.0f} s so far.")
        (self.layout.pgdata / "postmaster.pid").unlink(missing_ok=True)
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (self.layout.socket_dir / name).unlink(missing_ok=True)

    def _spawn(self, account: Account) -> None:
        _write(account, self.layout.pgdata / "viesti.conf", configuration(self.layout))
        command = [self.binaries.program("postgres"), "-D", str(self.layout.pgdata)]
        for setting in () if self.durable else UNSAFE_FOR_TESTS:
            command += ["-c", setting]
        with self.layout.start_log.open("wb") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A session of its own: Ctrl-C must not reach it before its clients are done.
                start_new_session=True,
                **_as(account),
            )

    def _wait_until_ready(self) -> None:
        began = told = time.monotonic()
        while True:
            try:
                psycopg.connect(self.layout.dsn(ADMIN, "postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                # While it starts there is no socket yet; afterwards it says 57P03.
                if error.sqlstate not in (None, NOT_NOW):
                    raise Unavailable(f"The embedded database refuses us: {error}") from error
            if self._child is not None and self._child.poll() is not None:
                raise Unavailable(f"PostgreSQL ended while starting: {self._reason()}")
            if self._child is None and self.find_pid() is None:
                raise Unavailable("PostgreSQL ended while it was being waited for: try again.")
            time.sleep(POLL_S)
            if time.monotonic() - told > REPORT_EVERY_S:
                told = time.monotonic()
                self.report(f"PostgreSQL is recovering, {told - began:.0f} s so far.")

    def _reason(self) -> str:
        """What the server said last: before its logs went to their own folder, or there."""
        words = self.layout.start_log.read_text(errors="replace")
        if "redirecting log output" in words:
            logs = (self.layout.pgdata / "log").glob("*.log")
            newest = max(logs, key=lambda log: log.stat().st_mtime, default=self.layout.start_log)
            words = newest.read_text(errors="replace")
        return _last_words(words)

    def _ensure_owner(self) -> None:
        """The role and database that viesti works with; the administrator only makes them."""
        _admin, password = self.layout.read_passwords()
        with psycopg.connect(self.layout.dsn(ADMIN, "postgres"), autocommit=True) as conn:
            role = sql.Identifier(OWNER)
            roles = conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER])
            if roles.fetchone() is None:
                conn.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password))
                )
            databases = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if databases.fetchone() is None:
                conn.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), role)
                )


def _as(account: Account) -> dict[str, Any]:
    return {
        **account.run_as(),
        "cwd": "/",
        "umask": 0o077,
        "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
    }


def _run(account: Account, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **_as(account),
    )


def _write(account: Account, path: Path, text: str) -> None:
    write_private(path, text)
    account.take(path)


def _last_words(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " | ".join(lines[-3:]) or "it said nothing"


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _works_in(pid: int, pgdata: Path) -> bool:
    """Whether ``pid`` is a live process of this very cluster: postgres works in its folder."""
    try:
        process = psutil.Process(pid)
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and Path(process.cwd()) == pgdata
            and process.name().startswith("postgres")
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return False
