"""Texts a second from the queue to ``delivered``, through a real SMSC connection and receipts.

Run: python bench/flow.py [--texts 50000] [--window 1000] [--senders 1] [--dsn ...]

An embedded PostgreSQL of its own with fsync on (or --dsn: a scratch database), ``viesti
simulate`` and ``viesti dispatch`` as processes of their own; all share the machine. The texts
are accepted by the real send before the clock starts; it ends when the last one's receipt is
committed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg

from viesti.db.embedded import ensure_database
from viesti.db.migrate import migrate
from viesti.domain.accounts.service import create_account
from viesti.domain.contacts.models import ContactInput
from viesti.domain.messages.models import SendRequest
from viesti.domain.messages.send import send_messages
from viesti.domain.senders.models import SmppAccount
from viesti.domain.senders.service import add_carrier, add_sender
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.kit.ids import new_id
from viesti.kit.secrets import ensure_platform_key
from viesti.supervisor import program

A_CALL = 10_000
WORDS = "Your appointment is confirmed for Monday at 10:30. Reply 1 to change it."


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def installation(dsn: str | None) -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="viesti-bench-") as folder:
        Path(folder).chmod(0o711)
        settings = Settings(
            data_dir=Path(folder) / "data",
            simulator_port=free_port(),
            simulator_http_port=free_port(),
            simulator_password="bench",
        )
        settings.data_dir.mkdir(mode=0o711)
        ensure_platform_key(settings)
        with contextlib.ExitStack() as stack:
            if dsn is None:
                dsn = stack.enter_context(ensure_database(settings)).dsn
            migrate(dsn)
            yield replace(settings, database_url=dsn, database_direct_url=dsn)


def seed(settings: Settings, texts: int, window: int, senders: int) -> float:
    """Accept the texts; returns how many a second."""
    with psycopg.connect(settings.database_url) as conn:
        now = utc_now()
        account = create_account(conn, name="Bench", balance_micros=10**12, now=now)
        smpp = SmppAccount("127.0.0.1", settings.simulator_port, "viesti", "bench")
        key = ensure_platform_key(settings)
        add_carrier(conn, key, name="bench", smpp=smpp, now=now, window=window)
        for n in range(senders):
            number = f"+1202555{100 + n:04d}"
            add_sender(conn, account_id=account.id, number=number, carrier_name="bench", now=now)
        conn.commit()
        began_s = time.perf_counter()
        for first in range(0, texts, A_CALL):
            if senders > 1:
                conn.execute(
                    "UPDATE senders SET is_default = (number = %s)",
                    (f"+1202555{100 + first // A_CALL % senders:04d}",),
                )
            numbers = range(first, min(first + A_CALL, texts))
            send_messages(
                conn,
                account.id,
                SendRequest(
                    contacts=[ContactInput(mobile=f"+1{2125550000 + n}") for n in numbers],
                    template=WORDS,
                ),
                credential_id=new_id(),
                idempotency_key=None,
                body=b"",
                now=utc_now(),
            )
            conn.commit()
        return texts / (time.perf_counter() - began_s)


@contextlib.contextmanager
def role(settings: Settings, name: str) -> Iterator[psutil.Process]:
    process = subprocess.Popen(
        [*program(), name],
        env={**os.environ, **to_environment(settings)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def database_cpu_s(conn: psycopg.Connection) -> float:
    """Processor time of the server's processes, those that ended included; 0 if it is remote."""
    try:
        server = psutil.Process(conn.info.backend_pid).parent()
        processes = [server, *server.children()] if server else []
        times = [process.cpu_times() for process in processes]
    except psutil.Error:
        return 0.0
    return sum(t.user + t.system for t in times) + sum(
        t.children_user + t.children_system for t in times[:1]
    )


def delivered(conn: psycopg.Connection) -> int:
    row = conn.execute("SELECT count(*) FROM messages WHERE status = 'delivered'").fetchone()
    return row[0] if row else 0


def measure(settings: Settings, texts: int) -> None:
    with (
        psycopg.connect(settings.database_url, autocommit=True) as conn,
        role(settings, "simulate") as simulator,
        role(settings, "dispatch") as dispatcher,
    ):
        while not conn.execute("SELECT 1 FROM binds WHERE bound_at IS NOT NULL").fetchone():
            time.sleep(0.02)
        began_s = time.perf_counter()
        cpu_s = dispatcher.cpu_times().user + dispatcher.cpu_times().system
        server_s = database_cpu_s(conn)
        last, last_s = 0, began_s
        while (done := delivered(conn)) < texts:
            if done != last:
                last, last_s = done, time.perf_counter()
            if time.perf_counter() - last_s > 15:
                print(conn.execute("SELECT status, count(*) FROM messages GROUP BY 1").fetchall())
                raise SystemExit("nothing moves any more")
            time.sleep(0.25)
        took_s = time.perf_counter() - began_s
        times = dispatcher.cpu_times()
        cpu_s = times.user + times.system - cpu_s
        server_s = database_cpu_s(conn) - server_s
        peer_s = simulator.cpu_times().user + simulator.cpu_times().system
        print(f"delivered                  {texts:>12,} in {took_s:.1f} s")
        print(f"by the clock               {texts / took_s:>12,.0f} texts/s")
        print(f"dispatcher, per core       {texts / cpu_s:>12,.0f} texts/s")
        if server_s > 0:
            print(f"database, per core         {texts / server_s:>12,.0f} texts/s")
        print(f"simulator, per core        {texts / peer_s:>12,.0f} texts/s")


@contextlib.contextmanager
def snapshot(settings: Settings) -> Iterator[None]:
    """A transaction that keeps every dead row from being removed while it lasts."""
    with psycopg.connect(settings.database_url) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.execute("SELECT count(*) FROM accounts")
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--window", type=int, default=1_000)
    parser.add_argument("--senders", type=int, default=1)
    parser.add_argument(
        "--snapshot",
        action="store_true",
        help="hold a snapshot open all the while, as a long report or a dump does",
    )
    parser.add_argument("--dsn", help="a scratch database; without it, an embedded server")
    arguments = parser.parse_args()
    with installation(arguments.dsn) as settings:
        accepted = seed(settings, arguments.texts, arguments.window, arguments.senders)
        print(f"accepted                   {accepted:>12,.0f} texts/s (calls of {A_CALL:,})")
        with snapshot(settings) if arguments.snapshot else contextlib.nullcontext():
            measure(settings, arguments.texts)
    print(
        f"machine                    {os.cpu_count()} cores, {platform.machine()},"
        f" {platform.system()}, CPython {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
