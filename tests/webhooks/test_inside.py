"""Scenario 19: no webhook reaches into the network that the platform stands in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest

from tests.webhooks.conftest import Platform, Receiver, until
from viesti.kit.ids import new_id
from viesti.kit.safe_http import Failure, Lookup, SafeClient
from viesti.webhooks.deliver import Engine
from viesti.webhooks.options import Options

OPTIONS = Options(poll_s=0.05, retry_scale=0.001, timeout_s=0.5, stop_s=0.2)


@contextlib.asynccontextmanager
async def delivering(
    platform: Platform, *, allow_private: bool, lookup: Lookup | None = None
) -> AsyncIterator[None]:
    client = SafeClient(allow_private=allow_private, timeout_s=OPTIONS.timeout_s, lookup=lookup)
    engine = Engine(platform.pool, client, platform.key, new_id(), OPTIONS)
    task = asyncio.create_task(engine.run())
    try:
        yield
    finally:
        engine.stop()
        await task
        await client.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_a_webhook_that_was_taken_before_it_was_forbidden_is_not_called(
    platform: Platform, receiver: Receiver, account_id: UUID, host: str
) -> None:
    port = receiver.base_url.rpartition(":")[2]
    platform.subscribe(account_id, f"http://{host}:{port}/")
    platform.record(account_id)
    async with delivering(platform, allow_private=False):
        await until(lambda: len(platform.attempts(account_id)) >= 2)
    assert {error for _, _, error in platform.attempts(account_id)} == {Failure.ADDRESS.value}
    assert receiver.calls == []


async def test_a_name_that_turns_private_after_it_was_public_is_not_called(
    platform: Platform, receiver: Receiver, account_id: UUID
) -> None:
    # A public address at which nobody answers here, then the machine itself.
    asked: list[str] = []

    async def lookup(host: str) -> list[str]:
        asked.append(host)
        return ["192.88.98.1"] if len(asked) == 1 else ["127.0.0.1"]

    port = receiver.base_url.rpartition(":")[2]
    platform.subscribe(account_id, f"http://hook.example:{port}/")
    platform.record(account_id)
    async with delivering(platform, allow_private=False, lookup=lookup):
        await until(lambda: len(platform.attempts(account_id)) >= 3)
    errors = {error for _, _, error in platform.attempts(account_id)}
    # What was checked is remembered for seconds; when asked again, the name is refused.
    assert errors <= {Failure.TIMEOUT.value, Failure.CONNECT.value, Failure.ADDRESS.value}
    assert receiver.calls == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_the_inside_is_not_followed(
    platform: Platform,
    receiver: Receiver,
    make_receiver: Callable[[], Awaitable[Receiver]],
    account_id: UUID,
    status: int,
) -> None:
    # Loopback stands for the public server here, since no public one can be asked.
    inside = await make_receiver()
    receiver.statuses, receiver.headers = [status], {"Location": f"{inside.base_url}/secret"}
    platform.subscribe(account_id, receiver.base_url)
    platform.record(account_id)
    async with delivering(platform, allow_private=True):
        await receiver.wait_for(2)
    assert platform.attempts(account_id)[0] == (1, status, "")
    assert inside.calls == []
