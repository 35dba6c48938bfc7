"""Slots go to endpoints in turn, and those that fail cannot take those of the others."""

from __future__ import annotations

from tests.webhooks.test_endpoints import delivery, endpoint
from viesti.webhooks.endpoints import Endpoint, Health
from viesti.webhooks.options import Options
from viesti.webhooks.turns import Turns

OPTIONS = Options(fast_slots=3, reserved_slots=1, slow_slots=2)


def with_health(health: Health, deliveries: int) -> Endpoint:
    made = endpoint(*(delivery() for _ in range(deliveries)))
    made.health = health
    return made


def test_endpoints_take_turns() -> None:
    turns = Turns(OPTIONS)
    first, second = with_health(Health.UNKNOWN, 3), with_health(Health.UNKNOWN, 3)
    turns.add(first)
    turns.add(second)
    starts, _ = turns.take(1.0)
    assert [start.endpoint for start in starts] == [first, second, first]
    assert turns.take(1.0) == ([], 0)
    turns.end(is_fast=True)
    starts, _ = turns.take(1.0)
    assert [start.endpoint for start in starts] == [second]


def test_a_slot_stays_for_those_that_answer() -> None:
    turns = Turns(OPTIONS)
    turns.add(with_health(Health.UNKNOWN, 4))
    assert len(turns.take(1.0)[0]) == 3
    turns.add(with_health(Health.ANSWERING, 4))
    assert len(turns.take(1.0)[0]) == 1


def test_those_that_fail_have_slots_of_their_own() -> None:
    turns = Turns(OPTIONS)
    for _ in range(4):
        turns.add(with_health(Health.FAILING, 1))
    turns.add(with_health(Health.ANSWERING, 1))
    starts, _ = turns.take(1.0)
    assert sorted(start.is_fast for start in starts) == [False, False, True]


def test_a_call_that_hangs_leaves_its_fast_slot_while_a_slow_one_is_free() -> None:
    turns = Turns(OPTIONS)
    turns.add(with_health(Health.UNKNOWN, 8))
    assert len(turns.take(1.0)[0]) == 3
    assert [turns.slow_down() for _ in range(3)] == [True, True, False]
    turns.add(with_health(Health.UNKNOWN, 8))
    assert len(turns.take(1.0)[0]) == 2


def test_deliveries_whose_lease_ran_short_are_counted_out() -> None:
    turns = Turns(OPTIONS)
    turns.add(endpoint(delivery(), delivery(), start_by_s=5.0))
    assert turns.take(6.0) == ([], 2)
