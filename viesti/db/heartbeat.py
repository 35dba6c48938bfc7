"""Says every two seconds that a role process is alive; each role starts one.

``doctor``, the metrics and the hub read the table. A process that stops saying so is
forgotten by housekeeping; nothing is decided by these rows: leases stand on their own.
"""

from __future__ import annotations

import os
import socket
import threading
from types import TracebackType
from uuid import UUID

import psycopg
import structlog

from viesti import __version__
from viesti.db.connections import connect
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

log = structlog.get_logger()

BEAT_S = 2.0
RECONNECT_MOST_S = 10.0


class Heartbeat:
    """``with Heartbeat(dsn, "work") as heartbeat``: ``heartbeat.id`` names the process.

    Beats from a thread of its own on a connection of its own, so that neither a busy event
    loop nor an exhausted pool looks like death.
    """

    def __init__(self, dsn: str, role: str, *, beat_s: float = BEAT_S) -> None:
        self.id: UUID = new_id()
        self._dsn = dsn
        self._role = role
        self._beat_s = beat_s
        self._started_at = utc_now()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat {role}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        wait_s = self._beat_s
        while not self._stopping.is_set():
            try:
                with connect(self._dsn, f"{self._role} heartbeat", autocommit=True) as conn:
                    wait_s = self._beat_s
                    self._beat(conn)
            except psycopg.Error as error:
                log.warning("heartbeat_lost", role=self._role, error=type(error).__name__)
                self._stopping.wait(wait_s)
                wait_s = min(wait_s * 2, RECONNECT_MOST_S)

    def _beat(self, conn: psycopg.Connection) -> None:
        while True:
            now = utc_now()
            conn.execute(
                "INSERT INTO processes (id, role, host, pid, version, started_at, seen_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)"
                " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
                (
                    self.id,
                    self._role,
                    socket.gethostname(),
                    os.getpid(),
                    __version__,
                    self._started_at,
                    now,
                ),
            )
            if self._stopping.wait(self._beat_s):
                conn.execute("DELETE FROM processes WHERE id = %s", (self.id,))
                return
