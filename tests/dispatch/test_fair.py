"""Deficit round robin: whose turn it is on a carrier that many share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from viesti.dispatch.fair import FairTurns


@dataclass(eq=False)
class Lane:
    account: UUID
    waiting: int
    segments: int = 1  # of each text


class Turns:
    def __init__(self, *lanes: Lane) -> None:
        self.lanes = list(lanes)
        self.fair = FairTurns[Lane](lambda lane: lane.account)
        self.order: list[Lane] = []

    def turn(self, budget: int) -> int:
        def take(lane: Lane, most: int) -> int:
            used = min(most, lane.waiting, lane.segments)
            lane.waiting -= used
            self.order.extend([lane] * used)
            return used

        return self.fair.pick([lane for lane in self.lanes if lane.waiting], budget, take)


def account(number: int) -> UUID:
    return UUID(int=number)


def test_a_single_text_passes_a_million_of_another_tenant() -> None:
    big, small = Lane(account(1), 1_000_000), Lane(account(2), 0)
    turns = Turns(big, small)
    for _ in range(50):
        turns.turn(10)
    small.waiting = 1
    before = len(turns.order)
    turns.turn(10)
    assert turns.order.index(small) - before <= 4


def test_budgets_of_one_are_shared_too() -> None:
    turns = Turns(Lane(account(1), 1_000_000), Lane(account(2), 1_000_000))
    for _ in range(80):
        assert turns.turn(1) == 1
    counts = Counter(lane.account for lane in turns.order)
    assert counts[account(1)] == counts[account(2)] == 40


def test_an_accounts_lanes_share_its_turns() -> None:
    many = [Lane(account(1), 1_000) for _ in range(10)]
    one = Lane(account(2), 1_000)
    turns = Turns(*many, one)
    turns.turn(400)
    counts = Counter(id(lane) for lane in turns.order)
    assert counts[id(one)] == 200
    assert {counts[id(lane)] for lane in many} == {20}


def test_long_texts_do_not_take_more_than_short_ones() -> None:
    long, short = Lane(account(1), 10_000, segments=10), Lane(account(2), 10_000)
    turns = Turns(long, short)
    turns.turn(800)
    counts = Counter(lane.account for lane in turns.order)
    assert counts[account(1)] == counts[account(2)] == 400


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(0, 300), st.integers(1, 10)),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
)
def test_nobody_starves_and_no_budget_is_wasted(
    wanted: list[tuple[int, int, int]], budgets: list[int]
) -> None:
    turns = Turns(*(Lane(account(a), waiting, segments) for a, waiting, segments in wanted))
    for budget in budgets:
        left = sum(lane.waiting for lane in turns.lanes)
        backlogged = {lane.account for lane in turns.lanes if lane.waiting}
        before = len(turns.order)
        assert turns.turn(budget) == min(budget, left)
        taken = Counter(lane.account for lane in turns.order[before:])
        still = {lane.account for lane in turns.lanes if lane.waiting} & backlogged
        # Whoever waited all along is within one quantum and its rest of the others.
        if len(still) > 1:
            counts = [taken[name] for name in still]
            assert max(counts) - min(counts) <= 8
