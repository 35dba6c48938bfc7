"""A real receiver, and an engine that delivers to it from the test's own database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import pytest
from aiohttp import web
from psycopg_pool import ConnectionPool

from viesti.domain.webhook_endpoints.service import Subscribed, subscribe
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent, record_events
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id
from viesti.kit.safe_http import SafeClient
from viesti.kit.secrets import PlatformKey
from viesti.webhooks.deliver import Engine
from viesti.webhooks.options import Options

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Return once ``condition`` holds: it looks at another process's or thread's work."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived."""

    path_and_query: str
    headers: dict[str, str]
    body: str
    at_s: float


@dataclass(slots=True)
class Receiver:
    """Answers with ``statuses`` in turn, the last one for ever."""

    base_url: str = ""
    statuses: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    calls: list[Call] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        self.calls.append(
            Call(
                request.path_qs,
                dict(request.headers),
                body,
                asyncio.get_running_loop().time(),
            )
        )
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers=self.headers, text="" if status < 300 else "no")

    async def wait_for(self, calls: int, timeout_s: float = 10.0) -> None:
        await until(lambda: len(self.calls) >= calls, timeout_s)


@pytest.fixture
async def make_receiver() -> AsyncGenerator[Callable[[], Awaitable[Receiver]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def make() -> Receiver:
            receiver = Receiver()
            app = web.Application()
            app.router.add_route("*", "/{tail:.*}", receiver.answer)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            receiver.base_url = f"http://127.0.0.1:{port}"
            return receiver

        yield make


@pytest.fixture
async def receiver(make_receiver: Callable[[], Awaitable[Receiver]]) -> Receiver:
    return await make_receiver()


@dataclass(slots=True)
class Platform:
    """The database's side: subscribes, records events, looks at what is left."""

    pool: ConnectionPool[psycopg.Connection]
    key: PlatformKey

    def subscribe(
        self, account_id: UUID, url: str, kinds: Sequence[str] = ("contact-updated",)
    ) -> Subscribed:
        with self.pool.connection() as conn:
            return subscribe(conn, self.key, account_id, url, kinds, utc_now(), allow_private=True)

    def record(
        self,
        account_id: UUID,
        count: int = 1,
        *,
        conversation_id: UUID | None = None,
        kind: EventType = EventType.CONTACT_UPDATED,
    ) -> bool:
        events = [
            NewEvent(account_id, kind, facts={"n": n}, conversation_id=conversation_id)
            for n in range(count)
        ]
        with self.pool.connection() as conn:
            return record_events(conn, events, utc_now())

    def deliveries(self, account_id: UUID) -> list[tuple[str, int]]:
        """(state, attempts) of what is still in the table."""
        with self.pool.connection() as conn:
            return conn.execute(
                "SELECT state, attempts FROM webhook_deliveries WHERE account_id = %s ORDER BY id",
                (account_id,),
            ).fetchall()

    def attempts(self, account_id: UUID) -> list[tuple[int, int | None, str]]:
        """(attempt, status, error) in order."""
        with self.pool.connection() as conn:
            return conn.execute(
                "SELECT attempt, status_code, error FROM webhook_attempts"
                " WHERE account_id = %s ORDER BY id",
                (account_id,),
            ).fetchall()

    async def settle(self, account_id: UUID, left: int = 0, timeout_s: float = 10.0) -> None:
        await until(lambda: len(self.deliveries(account_id)) <= left, timeout_s)


@pytest.fixture
def platform(pool: ConnectionPool[psycopg.Connection]) -> Platform:
    return Platform(pool, PlatformKey([bytes(range(32))]))


@pytest.fixture
def account_id() -> UUID:
    return new_id()


Running = Callable[..., contextlib.AbstractAsyncContextManager[Engine]]


@pytest.fixture
def running(platform: Platform) -> Running:
    """``async with running(...) as engine``: an engine that is stopped at the end."""

    @contextlib.asynccontextmanager
    async def run(options: Options | None = None) -> AsyncIterator[Engine]:
        options = options or Options(poll_s=0.05, retry_scale=0.01, timeout_s=1.0, stop_s=0.2)
        client = SafeClient(allow_private=True, timeout_s=options.timeout_s)
        engine = Engine(platform.pool, client, platform.key, new_id(), options)
        task = asyncio.create_task(engine.run())
        try:
            yield engine
        finally:
            engine.stop()
            await task
            await client.close()

    return run
