"""Deliveries against a real receiver: what is sent, retried, given up, kept apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from tests.webhooks.conftest import Platform, Receiver, Running, until
from viesti.domain.webhook_endpoints.history import list_attempts, replay_dead, replay_event
from viesti.domain.webhook_endpoints.service import find_webhook, unsubscribe
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id
from viesti.webhooks.options import Options


async def test_an_event_arrives_signed_and_leaves_the_table(
    platform: Platform, receiver: Receiver, running: Running, account_id: UUID
) -> None:
    url = receiver.base_url + "/hook?token=a%2Fb+c&x=%5B1%5D"
    subscribed = platform.subscribe(account_id, url)
    async with running():
        assert platform.record(account_id)
        await receiver.wait_for(1)
        await platform.settle(account_id)
    call = receiver.calls[0]
    assert call.path_and_query == "/hook?token=a%2Fb+c&x=%5B1%5D"
    Webhook(subscribed.secret).verify(call.body, call.headers)
    body = json.loads(call.body)
    assert body["accountId"] == str(account_id)
    assert body["eventType"] == "contact-updated"
    assert body["eventId"] == call.headers["webhook-id"]
    assert isinstance(body["sequence"], int)
    assert platform.attempts(account_id) == [(1, 200, "")]


async def test_retries_carry_the_same_id_and_body_until_accepted(
    platform: Platform, receiver: Receiver, running: Running, account_id: UUID
) -> None:
    subscribed = platform.subscribe(account_id, receiver.base_url)
    receiver.statuses = [500, 400, 204]
    platform.record(account_id)
    async with running(Options(poll_s=0.05, retry_scale=0.001, timeout_s=1.0)):
        await receiver.wait_for(3)
        await platform.settle(account_id)
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    assert len({call.body for call in receiver.calls}) == 1
    for call in receiver.calls:
        Webhook(subscribed.secret).verify(call.body, call.headers)
    assert platform.attempts(account_id) == [(1, 500, ""), (2, 400, ""), (3, 204, "")]


async def test_a_redirect_is_a_failure_and_not_followed(
    platform: Platform,
    receiver: Receiver,
    make_receiver: Callable[[], Awaitable[Receiver]],
    running: Running,
    account_id: UUID,
) -> None:
    other = await make_receiver()
    receiver.statuses, receiver.headers = [301, 200], {"Location": other.base_url}
    platform.subscribe(account_id, receiver.base_url)
    platform.record(account_id)
    async with running():
        await platform.settle(account_id)
    assert len(receiver.calls) == 2
    assert other.calls == []
    assert platform.attempts(account_id)[0] == (1, 301, "")


async def test_gone_disables_the_webhook(
    platform: Platform, receiver: Receiver, running: Running, account_id: UUID
) -> None:
    receiver.statuses = [410]
    subscribed = platform.subscribe(account_id, receiver.base_url)
    platform.record(account_id)
    async with running():
        await receiver.wait_for(1)
        await until(lambda: platform.deliveries(account_id) == [("dead", 1)])
        assert not platform.record(account_id)
        await asyncio.sleep(0.2)
    assert len(receiver.calls) == 1
    with platform.pool.connection() as conn:
        webhook = find_webhook(conn, account_id, str(subscribed.webhook.id))
    assert webhook is not None
    assert webhook.disabled_at is not None
    # Subscribing again enables it, under the same id and secret.
    again = platform.subscribe(account_id, receiver.base_url)
    assert again.webhook.id == subscribed.webhook.id
    assert again.secret == subscribed.secret
    assert again.webhook.disabled_at is None
    assert platform.record(account_id)


async def test_a_receiver_that_hangs_is_timed_out_and_tried_again(
    platform: Platform, receiver: Receiver, running: Running, account_id: UUID
) -> None:
    receiver.delay_s = 3.0
    platform.subscribe(account_id, receiver.base_url)
    platform.record(account_id)
    async with running(Options(poll_s=0.05, retry_scale=0.01, timeout_s=0.3, stop_s=0.1)):
        await receiver.wait_for(1)
        receiver.delay_s = 0.0
        await platform.settle(account_id)
    assert platform.attempts(account_id) == [(1, None, "timed out"), (2, 200, "")]


async def test_what_was_put_off_goes_on_after_a_restart(
    platform: Platform, receiver: Receiver, running: Running, account_id: UUID
) -> None:
    receiver.statuses = [500, 200]
    platform.subscribe(account_id, receiver.base_url)
    platform.record(account_id)
    async with running(Options(poll_s=0.05, retry_scale=0.1, timeout_s=1.0)):
        await receiver.wait_for(1)
    assert platform.deliveries(account_id) == [("due", 1)]
    async with running(Options(poll_s=0.05, retry_scale=0.1, timeout_s=1.0)):
        await platform.settle(account_id)
    assert [attempt for attempt, _, _ in platform.attempts(account_id)] == [1, 2]


async def test_a_schedule_that_ends_leaves_a_dead_letter_that_can_be_sent_again(
    platform: Platform, receiver: Receiver, running: Running, account_id: UUID
) -> None:
    receiver.statuses = [503]
    subscribed = platform.subscribe(account_id, receiver.base_url)
    platform.record(account_id)
    async with running(Options(poll_s=0.02, retry_scale=1e-7, timeout_s=1.0)):
        await until(lambda: platform.deliveries(account_id)[0][0] == "dead")
        receiver.statuses = [200]
        with platform.pool.connection() as conn:
            assert replay_dead(conn, account_id, subscribed.webhook.id, utc_now()) == 1
        await platform.settle(account_id)
        with platform.pool.connection() as conn:
            attempts = list_attempts(conn, account_id, subscribed.webhook.id)
            assert replay_event(
                conn, account_id, subscribed.webhook.id, attempts[0].event_id, utc_now()
            )
        before = len(receiver.calls)
        await receiver.wait_for(before + 1)
        await platform.settle(account_id)
    assert attempts[0].event_type == "contact-updated"
    assert len({call.body for call in receiver.calls}) == 1


async def test_retry_after_is_honoured(
    platform: Platform, receiver: Receiver, running: Running, account_id: UUID
) -> None:
    receiver.statuses, receiver.headers = [429, 200], {"Retry-After": "1"}
    platform.subscribe(account_id, receiver.base_url)
    platform.record(account_id)
    async with running():
        await platform.settle(account_id)
    assert receiver.calls[1].at_s - receiver.calls[0].at_s > 0.95


@pytest.mark.slow
async def test_a_dead_endpoint_with_thousands_due_does_not_delay_another(
    platform: Platform,
    receiver: Receiver,
    make_receiver: Callable[[], Awaitable[Receiver]],
    running: Running,
    account_id: UUID,
) -> None:
    hanging = await make_receiver()
    hanging.delay_s = 30.0
    others = [new_id() for _ in range(3)]
    platform.subscribe(others[0], "http://127.0.0.1:9/refused")
    platform.subscribe(others[1], hanging.base_url)
    platform.subscribe(others[2], "http://127.0.0.1:9/refused")
    for other in others:
        platform.record(other, 3000)
    platform.subscribe(account_id, receiver.base_url)
    async with running(Options(poll_s=0.2, timeout_s=10.0, stop_s=0.1)) as engine:
        await hanging.wait_for(1)
        for turn in range(1, 4):
            started_s = asyncio.get_running_loop().time()
            platform.record(account_id)
            engine.wake()
            await receiver.wait_for(turn, timeout_s=2.0)
            assert asyncio.get_running_loop().time() - started_s < 2.0
    assert len(hanging.calls) <= 4


# Two seconds are the promise (issue of the webhooks' isolation): kept apart from the tests that
# run side by side, which would only measure each other.
@pytest.mark.slow
async def test_hundreds_of_hanging_endpoints_do_not_delay_a_new_one(
    platform: Platform,
    receiver: Receiver,
    make_receiver: Callable[[], Awaitable[Receiver]],
    running: Running,
    account_id: UUID,
) -> None:
    hanging = await make_receiver()
    hanging.delay_s = 60.0
    for number in range(200):
        other = new_id()
        platform.subscribe(other, f"{hanging.base_url}/{number}")
        platform.record(other, 40)
    platform.subscribe(account_id, receiver.base_url)
    async with running(Options(poll_s=0.2, timeout_s=20.0, stop_s=0.0)) as engine:
        await hanging.wait_for(192)
        await asyncio.sleep(1.5)
        platform.record(account_id)
        engine.wake()
        await receiver.wait_for(1, timeout_s=2.0)


async def test_unsubscribing_is_followed_by_silence(
    platform: Platform, receiver: Receiver, running: Running, account_id: UUID
) -> None:
    url = receiver.base_url + "/hook?secret=1"
    platform.subscribe(account_id, url)
    receiver.delay_s = 0.3
    platform.record(account_id, 500)
    async with running() as engine:
        await receiver.wait_for(4)
        with platform.pool.connection() as conn:
            unsubscribe(conn, account_id, url)
        engine.wake()
        await asyncio.sleep(0.3)
        heard = len(receiver.calls)
        await asyncio.sleep(0.5)
    assert len(receiver.calls) == heard < 100
    assert not platform.record(account_id)


async def test_a_worker_that_dies_leaves_its_deliveries_to_another(
    platform: Platform, receiver: Receiver, running: Running, account_id: UUID
) -> None:
    receiver.delay_s = 30.0
    platform.subscribe(account_id, receiver.base_url)
    platform.record(account_id, 3)
    # stop_s=0: what is on the wire is dropped unrecorded, as by a kill.
    dying = Options(poll_s=0.05, timeout_s=5.0, lease_s=1.0, stop_s=0.0)
    async with running(dying):
        await receiver.wait_for(3)
    assert platform.deliveries(account_id) == [("due", 0)] * 3
    receiver.delay_s = 0.0
    async with running():
        await platform.settle(account_id)
    ids = [call.headers["webhook-id"] for call in receiver.calls]
    assert len(ids) == 6
    assert set(ids[:3]) == set(ids[3:])


async def test_events_of_one_conversation_go_out_in_order(
    platform: Platform, receiver: Receiver, running: Running, account_id: UUID
) -> None:
    platform.subscribe(account_id, receiver.base_url)
    receiver.delay_s = 0.01
    platform.record(account_id, 30, conversation_id=new_id())
    async with running():
        await platform.settle(account_id)
    sequences = [json.loads(call.body)["sequence"] for call in receiver.calls]
    assert sequences == sorted(sequences)
    assert len(set(sequences)) == 30


async def test_each_webhook_hears_only_its_account_and_its_event_types(
    platform: Platform,
    receiver: Receiver,
    make_receiver: Callable[[], Awaitable[Receiver]],
    running: Running,
    account_id: UUID,
) -> None:
    other_receiver, other_account = await make_receiver(), new_id()
    platform.subscribe(account_id, receiver.base_url)
    platform.subscribe(other_account, other_receiver.base_url, ["message-received"])
    platform.record(account_id, 5)
    platform.record(other_account, 5)
    async with running():
        await receiver.wait_for(5)
        await platform.settle(account_id)
        await asyncio.sleep(0.2)
    assert other_receiver.calls == []
    assert {json.loads(call.body)["accountId"] for call in receiver.calls} == {str(account_id)}
    with platform.pool.connection() as conn:
        assert find_webhook(conn, other_account, receiver.base_url) is None
