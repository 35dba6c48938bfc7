"""Wake-ups between processes over LISTEN and NOTIFY, with a poll where one is lost.

A payload is a hint and never the truth: whoever is woken looks in the tables. LISTEN needs a
connection of its own, past any pooler.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

import psycopg
import structlog
from psycopg import sql

from viesti.db.connections import connect

log = structlog.get_logger()

POLL_S = 1.0
RECONNECT_MOST_S = 5.0


def notify(conn: psycopg.Connection, channel: str, payload: str = "") -> None:
    """Send one NOTIFY as a transaction of its own: its commit takes a lock shared by all.

    Raises RuntimeError inside an open transaction, where it would delay that one's commit.
    """
    if not conn.autocommit and conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        raise RuntimeError("notify must not run inside a transaction")
    conn.execute("SELECT pg_notify(%s, %s)", (channel, payload))
    if not conn.autocommit:
        conn.commit()


class Listener:
    """Calls back when a channel is notified, and at least once each ``poll_s``.

    ``on_wake`` gets (channel, payload), or ("", "") for the poll that guarantees progress. It
    runs in the listener's own thread: an event loop passes a function that goes through
    ``loop.call_soon_threadsafe``. A lost connection is made anew; meanwhile the polls go on.
    """

    def __init__(
        self,
        dsn: str,
        channels: Sequence[str],
        on_wake: Callable[[str, str], None],
        *,
        name: str = "listener",
        poll_s: float = POLL_S,
    ) -> None:
        self._dsn = dsn
        self._channels = tuple(channels)
        self._on_wake = on_wake
        self._name = name
        self._poll_s = poll_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"listen {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns once the thread has ended, within one poll."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        wait_s = self._poll_s
        while not self._stopping.is_set():
            try:
                with connect(self._dsn, self._name, autocommit=True) as conn:
                    for channel in self._channels:
                        conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    wait_s = self._poll_s
                    self._listen(conn)
            except psycopg.Error as error:
                log.warning("listener_lost", listener=self._name, error=type(error).__name__)
                self._on_wake("", "")
                self._stopping.wait(wait_s * random.uniform(0.5, 1.0))  # noqa: S311
                wait_s = min(wait_s * 2, RECONNECT_MOST_S)

    def _listen(self, conn: psycopg.Connection) -> None:
        # What was notified before LISTEN took effect is found by this first look.
        self._on_wake("", "")
        while not self._stopping.is_set():
            woken = False
            for note in conn.notifies(timeout=self._poll_s, stop_after=1):
                woken = True
                self._on_wake(note.channel, note.payload)
            if not woken:
                self._on_wake("", "")
