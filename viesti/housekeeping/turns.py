"""Large works in small pieces, in turn: a thread of the ``work`` role for each kind of them.

A work belongs to an account, and lies in a table with how far it has come. Each piece is one
transaction that claims its work by a row lock, so that any number of processes take part and a
killed one leaves nothing to mend. Accounts take turns, and the works of an account among
themselves: one tenant's million delays another's hundred by a piece.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout

from viesti.db.pool import retry_deadlocks
from viesti.kit.clock import utc_now
from viesti.kit.errors import ViestiError

log = structlog.get_logger()

POLL_S = 1.0
# A work whose piece failed lets the others go on, and is tried again after this.
RETRY_S = 15.0
STOP_S = 60.0

Key = tuple[UUID, UUID]  # account, work


@dataclass(frozen=True, slots=True)
class Done:
    """One piece: whether there was one, and what to wake, as (channel, payload)."""

    did: bool
    wake: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Works:
    """A kind of works. ``channel`` announces new ones; ``find`` names those with work to do.

    ``piece`` commits nothing, and does nothing where another process has the work.
    """

    name: str
    channel: str
    find: Callable[[psycopg.Connection, datetime], Sequence[Key]]
    piece: Callable[[psycopg.Connection, UUID, UUID, datetime], Done]


class Turns:
    """The thread that does one kind of ``works`` while the process lives."""

    def __init__(
        self,
        pool: ConnectionPool[psycopg.Connection],
        works: Works,
        wake: Callable[[str, str], None],
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._pool = pool
        self._works = works
        self._wake = wake
        self._now = now
        self._last: dict[Key, int] = {}  # when each had its last turn, counted in pieces
        self._last_of: dict[UUID, int] = {}
        self._count = 0
        self._retry_s: dict[Key, float] = {}
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=works.name, daemon=True)

    @property
    def channel(self) -> str:
        return self._works.channel

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be new works; may be called from any thread."""
        self._due.set()

    def stop(self) -> None:
        """Returns when the piece under way has ended."""
        self._stopping.set()
        self._due.set()
        self._thread.join(timeout=STOP_S)

    def run_round(self) -> bool:
        """Give each account with works one piece; whether any was done."""
        with self._pool.connection() as conn:
            found = self._works.find(conn, self._now())
        now_s = time.monotonic()
        self._forget(found, now_s)
        by_account: dict[UUID, list[Key]] = {}
        for key in found:
            if key not in self._retry_s:
                by_account.setdefault(key[0], []).append(key)
        did = False
        for account in sorted(by_account, key=lambda account: self._last_of.get(account, 0)):
            if self._stopping.is_set():
                return False
            # Another process may have one of them; then it is the next one's turn.
            for key in sorted(by_account[account], key=lambda key: self._last.get(key, 0)):
                if self._piece(key):
                    did = True
                    break
        return did

    def _forget(self, found: Sequence[Key], now_s: float) -> None:
        known = set(found)
        accounts = {account for account, _ in known}
        self._last = {key: at for key, at in self._last.items() if key in known}
        self._last_of = {key: at for key, at in self._last_of.items() if key in accounts}
        self._retry_s = {
            key: at_s for key, at_s in self._retry_s.items() if key in known and at_s > now_s
        }

    def _piece(self, key: Key) -> bool:
        @retry_deadlocks
        def transaction() -> Done:
            with self._pool.connection() as conn:
                return self._works.piece(conn, *key, self._now())

        try:
            done = transaction()
        except ViestiError as error:
            log.warning("work_refused", work=self._works.name, id=str(key[1]), code=error.code)
            self._retry_s[key] = time.monotonic() + RETRY_S
            return False
        except PoolTimeout:
            raise  # the database is away, for every work
        except Exception as error:
            if _is_away(error):
                # Should it be this work's doing after all, the others come before it next time.
                self._had_turn(key)
                raise
            log.exception("work_failed", work=self._works.name, id=str(key[1]))
            self._retry_s[key] = time.monotonic() + RETRY_S
            return False
        if done.did:
            self._had_turn(key)
            for channel, payload in done.wake:
                self._wake(channel, payload)
        return done.did

    def _had_turn(self, key: Key) -> None:
        self._count += 1
        self._last[key] = self._last_of[key[0]] = self._count

    def _run(self) -> None:
        while not self._stopping.is_set():
            # Before the look, so that what is announced during it is not missed.
            self._due.clear()
            try:
                did = self.run_round()
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("work_paused", work=self._works.name, error=type(error).__name__)
                did = False
                self._stopping.wait(POLL_S)
            if not did and not self._stopping.is_set():
                self._due.wait(POLL_S)


def _is_away(error: Exception) -> bool:
    """Whether the database failed every work: not if it only refused or ended this one's statement.

    (PostgreSQL, appendix A: connection exceptions, insufficient resources, shutdowns.)
    """
    if not isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return False
    code = error.sqlstate
    return code is None or code.startswith(("08", "53", "57P"))
