"""Carry the embedded database over to a newer major version; ``viesti upgrade-db`` calls it.

By dump and restore, one after the other, because the two servers share one place. The old
cluster is kept beside the new one until the person removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from viesti.db.dump import read_dump, write_dump
from viesti.db.embedded import lock
from viesti.db.embedded.binaries import MAJOR, get_binaries
from viesti.db.embedded.layout import Layout
from viesti.db.embedded.server import Report, Server
from viesti.kit.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class Upgrade:
    before: int
    after: int
    kept: Path | None  # where the old cluster lies now; None: nothing was to be done


def upgrade(layout: Layout, report: Report, *, durable: bool = True) -> Upgrade:
    """Bring the cluster of ``layout`` to PostgreSQL ``MAJOR``.

    Raises NotFound if there is no cluster, Conflict while somebody uses it. Until the new
    cluster holds everything the old one stays what is used.
    """
    version = layout.pgdata / "PG_VERSION"
    if not version.exists():
        raise NotFound(f"There is no embedded database in {layout.data_dir} yet.")
    before = int(version.read_text())
    if before == MAJOR:
        return Upgrade(before, MAJOR, None)
    with lock.held(layout.start_lock):
        users = lock.open_file(layout.users_lock)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict("The database is in use: stop viesti first.") from error
        else:
            return Upgrade(before, MAJOR, _carry_over(layout, before, report, durable))
        finally:
            os.close(users)


def _carry_over(layout: Layout, before: int, report: Report, durable: bool) -> Path:
    dump = layout.data_dir / "upgrade.dump"
    kept = layout.data_dir / f"postgres-{before}"
    if kept.exists():
        raise Conflict(f"{kept} is left from an earlier upgrade: move it away first.")
    dump.unlink(missing_ok=True)
    try:
        old = Server(layout, get_binaries(before), durable, report)
        old.ensure_running()
        try:
            report(f"Reading all data out of PostgreSQL {before}.")
            with os.fdopen(os.open(dump, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                write_dump(layout.dsn(), out, embedded=True)
        finally:
            old.stop()
        layout.pgdata.rename(kept)
        new = Server(layout, get_binaries(MAJOR), durable, report)
        try:
            new.ensure_running()
            report(f"Writing all data into PostgreSQL {MAJOR}.")
            with dump.open("rb") as source:
                read_dump(layout.dsn(), source, embedded=True)
        except BaseException:
            new.stop()
            shutil.rmtree(layout.pgdata, ignore_errors=True)
            kept.rename(layout.pgdata)
            raise
        new.stop()
    finally:
        dump.unlink(missing_ok=True)
    return kept
