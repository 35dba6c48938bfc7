"""Sends wake-ups between processes: one NOTIFY per channel and 20 ms, whatever the traffic.

Every NOTIFY that commits takes a lock that all share, so a process gathers what it has to say.
The payloads of one channel are joined by commas; they are hints, and may get lost.
"""

from __future__ import annotations

import threading

import psycopg
import structlog

from viesti.db.connections import connect
from viesti.db.signals import notify

log = structlog.get_logger()

GATHER_S = 0.02
# PostgreSQL refuses payloads of 8,000 octets and more.
MAX_PAYLOAD = 7_900


class Waker:
    """``wake`` may be called from any thread, after the commit that it tells of."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._pending: dict[str, dict[str, None]] = {}
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"wake {name}", daemon=True)
        self._thread.start()

    def wake(self, channel: str, payload: str = "") -> None:
        with self._lock:
            self._pending.setdefault(channel, {})[payload] = None
        self._due.set()

    def close(self) -> None:
        """Send what is pending and end the thread."""
        self._stopping.set()
        self._due.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        conn: psycopg.Connection | None = None
        while True:
            self._due.wait()
            self._due.clear()
            try:
                if conn is None or conn.closed:
                    conn = connect(self._dsn, f"{self._name} waker", autocommit=True)
                self._flush(conn)
            except psycopg.Error as error:
                # The hint is lost; whoever it was for polls.
                log.warning("wake_lost", error=type(error).__name__)
                conn = None
            if self._stopping.is_set():
                if conn is not None:
                    conn.close()
                return
            # The first wake-up goes at once, those that follow it are gathered.
            self._stopping.wait(GATHER_S)

    def _flush(self, conn: psycopg.Connection) -> None:
        with self._lock:
            pending, self._pending = self._pending, {}
        for channel, payloads in pending.items():
            joined = ""
            for payload in payloads:
                if len(joined) + len(payload) >= MAX_PAYLOAD:
                    notify(conn, channel, joined)
                    joined = ""
                joined = f"{joined},{payload}" if joined else payload
            notify(conn, channel, joined)
