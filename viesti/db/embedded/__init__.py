"""The database that needs no setting up: a real PostgreSQL server in the data folder.

``serve`` and every command call ``ensure_database``. Whoever comes first starts the server,
whoever leaves last stops it: each user holds a shared lock for as long as it lives, which the
kernel drops even after a ``kill -9``. So a command and ``serve`` may come and go in any order.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from types import TracebackType

from viesti.db.embedded import lock
from viesti.db.embedded.layout import ADMIN, Layout
from viesti.db.embedded.server import Report, Server
from viesti.kit.config import Settings

__all__ = ["ADMIN", "DatabaseHandle", "Layout", "Server", "ensure_database"]


def _quiet(_line: str) -> None:
    return None


@dataclass(slots=True)
class DatabaseHandle:
    """A database in use. ``close`` gives it up, and stops it if nobody else uses it."""

    dsn: str
    direct_dsn: str  # past any pooler: for LISTEN, advisory locks and migrations
    server: Server | None = None  # None: an external database, which is never ours to stop
    _users_fd: int = -1

    @property
    def owned(self) -> bool:
        """Whether the server is the embedded one."""
        return self.server is not None

    def ensure_running(self) -> bool:
        """Start the embedded server again if it has died; True if that was needed."""
        if self.server is None or self.server.find_pid() is not None:
            return False
        with lock.held(self.server.layout.start_lock):
            self.server.ensure_running()
        return True

    def close(self) -> None:
        """Give the database up; the last user stops the server. Safe to call twice."""
        if self.server is None or self._users_fd < 0:
            return
        users, self._users_fd = self._users_fd, -1
        with lock.held(self.server.layout.start_lock):
            try:
                # Converting the lock succeeds only when nobody else holds it shared.
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(users)
                return
            try:
                self.server.stop()
            finally:
                os.close(users)

    def __enter__(self) -> DatabaseHandle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def ensure_database(
    settings: Settings, *, report: Report = _quiet, durable: bool = True
) -> DatabaseHandle:
    """The database of ``settings``, running and taking connections.

    With ``database_url`` set that one, unchecked; else the embedded server, which is made on
    the first call, started if it does not run and waited for without a deadline. ``report``
    hears one line about each thing that takes time. ``durable=False`` turns fsync off: tests
    only. Raises Unavailable, saying why and what to do.
    """
    if settings.database_url:
        direct = settings.database_direct_url or settings.database_url
        return DatabaseHandle(settings.database_url, direct)
    layout = Layout(settings.data_dir.resolve())
    server = Server(layout, durable=durable, report=report)
    layout.make_data_dir()
    with lock.held(layout.start_lock):
        server.ensure_running()
        users = lock.open_file(layout.users_lock)
        fcntl.flock(users, fcntl.LOCK_SH)
    dsn = layout.dsn()
    return DatabaseHandle(dsn, dsn, server, users)
