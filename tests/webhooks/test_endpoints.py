"""An endpoint's share: earned by answers, lost by failures, in order within a conversation."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from viesti.kit.ids import new_id
from viesti.webhooks.claim import Claimed
from viesti.webhooks.endpoints import (
    FAILING_LIMIT,
    FIRST_LIMIT,
    MOST_LIMIT,
    Endpoint,
    Health,
    Queued,
)


def delivery(conversation_id: UUID | None = None, attempts: int = 0) -> Claimed:
    return Claimed(
        new_id(),
        new_id(),
        new_id(),
        new_id(),
        conversation_id,
        attempts,
        datetime(2026, 3, 1, tzinfo=UTC),
        "{}",
    )


def endpoint(*deliveries: Claimed, start_by_s: float = 1e9) -> Endpoint:
    made = Endpoint(new_id(), new_id())
    for item in deliveries:
        made.add(Queued(item, start_by_s))
    return made


def test_an_unknown_endpoint_begins_with_few_calls_at_once() -> None:
    subject = endpoint(*(delivery() for _ in range(20)))
    taken = 0
    while subject.take(0.0)[0] is not None:
        taken += 1
    assert taken == FIRST_LIMIT


def test_answers_raise_the_limit_to_its_most() -> None:
    subject = endpoint()
    for _ in range(200):
        item = delivery()
        subject.add(Queued(item, 1e9))
        assert subject.take(0.0)[0] is item
        subject.finish(item, accepted=True)
    assert subject.limit == MOST_LIMIT
    assert subject.health is Health.ANSWERING


def test_one_failure_among_answers_is_forgiven_and_three_are_not() -> None:
    subject = endpoint()
    for accepted in (True, False, True, False, False):
        item = delivery()
        subject.add(Queued(item, 1e9))
        subject.take(1e6)
        subject.finish(item, accepted)
    assert subject.health is Health.ANSWERING
    item = delivery()
    subject.add(Queued(item, 1e9))
    subject.take(1e6)
    subject.finish(item, accepted=False)
    assert subject.health is Health.FAILING
    assert subject.limit == FAILING_LIMIT
    assert subject.quota() == FAILING_LIMIT


def test_an_endpoint_that_failed_before_a_restart_starts_with_the_small_share() -> None:
    subject = endpoint(delivery(attempts=3))
    assert subject.health is Health.FAILING


def test_an_endpoint_that_goes_on_failing_is_called_less_often() -> None:
    subject = endpoint(*(delivery() for _ in range(40)))
    now_s = 0.0
    for _ in range(25):
        item, _ = subject.take(now_s)
        assert item is not None
        subject.finish(item, accepted=False)
        now_s += 1.0
    assert subject.take(now_s)[0] is not None
    assert subject.take(now_s + 0.1) == (None, 0)


def test_of_one_conversation_one_event_is_on_the_wire_and_the_order_holds() -> None:
    thread, other = new_id(), new_id()
    first, second, third = (delivery(thread) for _ in range(3))
    aside = delivery(other)
    subject = endpoint(first, second, third, aside)
    assert subject.take(0.0)[0] is first
    assert subject.take(0.0)[0] is aside
    assert subject.take(0.0)[0] is None
    assert subject.held == 2
    subject.finish(first, accepted=True)
    assert subject.take(0.0)[0] is second
    subject.finish(second, accepted=False)
    assert subject.take(0.0)[0] is third


def test_what_waited_until_its_lease_ran_short_is_dropped() -> None:
    subject = endpoint(delivery(), delivery(), start_by_s=10.0)
    assert subject.take(11.0) == (None, 2)
    assert subject.has_more


def test_clearing_gives_back_everything_that_is_held() -> None:
    thread = new_id()
    items = [delivery(thread) for _ in range(3)]
    subject = endpoint(*items)
    subject.take(0.0)
    subject.take(0.0)
    assert sorted(item.id for item in subject.clear()) == sorted(item.id for item in items[1:])
    assert subject.held == 0
