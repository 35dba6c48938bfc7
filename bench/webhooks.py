"""Deliveries a second to receivers on this machine, by one ``work`` engine: ``python bench/webhooks.py``.

Runs on an embedded PostgreSQL of its own with fsync on; or give a DSN of a scratch database
server as the first argument. The receiver is a bare HTTP responder in another process; engine,
receiver and database share the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import uvloop
from stage import machine

from viesti.db.embedded import ensure_database
from viesti.db.migrate import migrate
from viesti.db.pool import open_pool
from viesti.domain.webhook_endpoints.service import subscribe
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent, record_events
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings
from viesti.kit.ids import new_id
from viesti.kit.process import tune_interpreter
from viesti.kit.safe_http import SafeClient
from viesti.kit.secrets import PlatformKey
from viesti.webhooks.deliver import Engine
from viesti.webhooks.options import Options

EVENTS = 10_000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ENDPOINTS = (1, 20)


class _Responder(asyncio.Protocol):
    """Answers each request once its announced body is complete."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (head := self.buffer.find(b"\r\n\r\n")) >= 0:
            lower = self.buffer[:head].lower()
            at = lower.find(b"content-length:")
            length = int(lower[at + 15 :].split(b"\r\n", 1)[0])
            if len(self.buffer) < head + 4 + length:
                return
            self.buffer = self.buffer[head + 4 + length :]
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


def _receive(listening: socket.socket) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Responder, sock=listening)
        await server.serve_forever()

    uvloop.run(serve())


@contextlib.contextmanager
def _receiver() -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    child = multiprocessing.get_context("fork").Process(
        target=_receive, args=(listening,), daemon=True
    )
    child.start()
    try:
        yield listening.getsockname()[1]
    finally:
        child.terminate()
        child.join()


async def _measure(dsn: str, port: int, endpoints: int) -> tuple[float, float]:
    pool = open_pool(dsn, 2, 4, "bench")
    key = PlatformKey([os.urandom(32)])
    accounts = [new_id() for _ in range(endpoints)]
    with pool.connection() as conn:
        conn.execute("TRUNCATE webhooks, webhook_deliveries, webhook_attempts, events, messages")
        messages = []
        for account in accounts:
            url = f"http://127.0.0.1:{port}/{account}"
            subscribe(conn, key, account, url, ["message-status"], utc_now(), allow_private=True)
        now = utc_now()
        with conn.cursor().copy(
            "COPY messages (account_id, id, contact_id, conversation_id, sender_id, sender, mobile,"
            " outgoing, status, message, encoding, segments, price_micros, created_at, updated_at)"
            " FROM STDIN"
        ) as copy:
            for n in range(EVENTS):
                row = (accounts[n % endpoints], new_id(), new_id(), new_id(), new_id())
                messages.append(row)
                copy.write_row(
                    (
                        *row,
                        "+15550100001",
                        "+15550100002",
                        True,
                        "sent",
                        "See you at 3 then",
                        "gsm7",
                        1,
                        32000,
                        now,
                        now,
                    )
                )
    events = [
        NewEvent(
            account,
            EventType.MESSAGE_STATUS,
            contact,
            conversation,
            message,
            {"status": "delivered"},
        )
        for account, message, contact, conversation, _ in messages
    ]
    started = time.perf_counter()
    for at in range(0, EVENTS, 500):
        with pool.connection() as conn:
            record_events(conn, events[at : at + 500], utc_now())
    recorded_s = time.perf_counter() - started
    client = SafeClient(allow_private=True)
    engine = Engine(pool, client, key, new_id(), Options())
    started = time.perf_counter()
    running = asyncio.create_task(engine.run())
    while engine.delivered < EVENTS:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    engine.stop()
    await running
    delivered_s = time.perf_counter() - started
    await client.close()
    with pool.connection() as conn:
        left = conn.execute("SELECT count(*) FROM webhook_deliveries").fetchone()
        assert left == (0,), left
    pool.close()
    return EVENTS / recorded_s, EVENTS / delivered_s


def _run(dsn: str) -> None:
    tune_interpreter()
    print(machine())
    with _receiver() as port:
        for endpoints in ENDPOINTS:
            recorded, delivered = uvloop.run(_measure(dsn, port, endpoints))
            print(
                f"{endpoints} endpoint(s), {EVENTS} events: recorded {recorded:,.0f}/s,"
                f" delivered {delivered:,.0f}/s"
            )


def main() -> None:
    if len(sys.argv) > 1:
        with psycopg.connect(sys.argv[1], autocommit=True) as admin:
            admin.execute("DROP DATABASE IF EXISTS bench_webhooks")
            admin.execute("CREATE DATABASE bench_webhooks")
        dsn = psycopg.conninfo.make_conninfo(sys.argv[1], dbname="bench_webhooks")
        migrate(dsn)
        _run(dsn)
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with ensure_database(Settings(data_dir=Path(folder) / "data")) as database:
            migrate(database.direct_dsn)
            _run(database.dsn)


if __name__ == "__main__":
    main()
