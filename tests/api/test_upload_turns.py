"""Files that arrive slowly keep nobody else's from being taken."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator

import anyio
import anyio.from_thread
import psycopg
import pytest
from httpx import ASGITransport, AsyncClient, Response
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.api.app import create_app
from viesti.api.database import Database
from viesti.api.v1 import contact_upload
from viesti.kit.config import Settings
from viesti.kit.ids import new_id


def test_one_accounts_files_leave_room_for_anothers(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    slow, other = new_id(), new_id()
    may_end = threading.Event()
    begun: list[int] = []

    async def take_all() -> None:
        two = anyio.Event()

        def wait(number: int) -> bool:
            begun.append(number)
            if len(begun) == 2:
                anyio.from_thread.run_sync(two.set)
            return may_end.wait(10)

        database = Database(pool)
        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(database.take_file, slow, lambda number=number: wait(number))
            with anyio.fail_after(5):
                assert await database.take_file(other, lambda: "taken") == "taken"
            with anyio.fail_after(5):
                await two.wait()
            assert len(begun) == 2
            may_end.set()
        assert sorted(begun) == list(range(6))

    anyio.run(take_all)


def test_a_file_that_trickles_in_is_given_up(
    settings: Settings,
    pool: ConnectionPool[psycopg.Connection],
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contact_upload, "PIECE_S", 0.3)

    async def trickle() -> AsyncIterator[bytes]:
        yield b"Mobile\n"
        for number in range(100):
            await anyio.sleep(0.05)
            yield b"+1212%d\n" % (2_000_000 + number)

    async def upload() -> Response:
        transport = ASGITransport(create_app(settings, pool))
        async with AsyncClient(transport=transport, base_url="http://test") as http:
            return await http.post(
                f"/v1/accounts/{tenant.account_id}/contacts",
                content=trickle(),
                headers={"authorization": f"Bearer {tenant.token}", "content-type": "text/csv"},
            )

    answer = anyio.run(upload)
    assert answer.status_code == 400
    assert "too slow" in answer.json()["error"]["message"]
