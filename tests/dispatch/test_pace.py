"""Token buckets, and how a lane learns what a throttling carrier takes."""

from __future__ import annotations

from collections import deque

import pytest

from viesti.dispatch.pace import BURST_S, Bucket, LanePace


def test_a_bucket_lets_its_rate_through_and_a_small_burst() -> None:
    bucket = Bucket(100.0)
    passed = 0
    for step in range(1, 1_001):
        now_s = step * 0.01
        room = int(bucket.room(now_s))
        bucket.take(room, now_s)
        passed += room
    assert 1_000 - 2 <= passed <= 1_000 + 100 * BURST_S


def test_a_rest_saves_up_no_more_than_the_burst() -> None:
    bucket = Bucket(100.0)
    bucket.room(0.0)
    assert bucket.room(3_600.0) == 100 * BURST_S


def test_the_slowest_bucket_still_lets_whole_segments_through() -> None:
    bucket = Bucket(0.5)
    assert bucket.room(0.0) == 1.0
    bucket.take(1, 0.0)
    assert bucket.wait_s(0.0) == pytest.approx(2.0)
    assert bucket.room(2.0) == pytest.approx(1.0)


def test_zero_is_unlimited() -> None:
    bucket = Bucket(0.0)
    bucket.take(1_000_000, 0.0)
    assert bucket.room(0.0) == float("inf")
    assert bucket.wait_s(0.0) == 0.0


def test_a_clock_that_steps_back_takes_nothing_away() -> None:
    bucket = Bucket(10.0)
    bucket.room(100.0)
    assert bucket.room(99.0) >= 0.0
    assert bucket.room(100.0) >= 0.0


class Carrier:
    """Takes ``rate`` segments in any one second and throttles the rest, after a round trip."""

    def __init__(self, rate: int, trip_s: float) -> None:
        self.rate = rate
        self.trip_s = trip_s
        self.taken: deque[float] = deque()
        self.answers: deque[tuple[float, bool]] = deque()

    def submit(self, count: int, now_s: float) -> None:
        for _ in range(count):
            while self.taken and self.taken[0] <= now_s - 1.0:
                self.taken.popleft()
            fits = len(self.taken) < self.rate
            if fits:
                self.taken.append(now_s)
            self.answers.append((now_s + self.trip_s, fits))


def run(carrier: Carrier, texts: int, *, window: int = 100, turn_s: float = 0.005) -> list[float]:
    """Moments at which segments were taken, with a lane that is always full until the end."""
    pace = LanePace(0.0)
    waiting, in_flight, now_s = texts, 0, 0.0
    taken: list[float] = []
    while len(taken) < texts:
        now_s += turn_s
        while carrier.answers and carrier.answers[0][0] <= now_s:
            _, fits = carrier.answers.popleft()
            in_flight -= 1
            if fits:
                taken.append(now_s)
                pace.accepted(1, now_s)
            else:
                waiting += 1
                pace.throttled(now_s)
        room = int(min(pace.room(now_s), window - in_flight, waiting))
        if room > 0:
            pace.take(room, now_s)
            carrier.submit(room, now_s)
            waiting -= room
            in_flight += room
        assert now_s < 10 * texts / carrier.rate, "the lane starves"
    return taken


@pytest.mark.parametrize("rate", [10, 40, 300])
@pytest.mark.parametrize("trip_s", [0.001, 0.05, 0.4])
def test_a_throttled_lane_comes_near_to_what_the_carrier_takes(rate: int, trip_s: float) -> None:
    texts = rate * 30
    taken = run(Carrier(rate, trip_s), texts, window=1_000)
    assert taken[-1] <= 30 * 1.2 + 2 * trip_s
    # Past its first seconds it no longer swings.
    for second in range(5, 29):
        passed = sum(1 for at_s in taken if second <= at_s < second + 1)
        assert passed >= 0.7 * rate


def test_few_segments_are_refused_once_the_rate_is_learned() -> None:
    carrier = Carrier(20, 0.02)
    refused = 0
    submit = carrier.submit

    def count(segments: int, now_s: float) -> None:
        nonlocal refused
        before = len(carrier.answers)
        submit(segments, now_s)
        refused += sum(1 for _, fits in list(carrier.answers)[before:] if not fits and now_s > 3)

    carrier.submit = count  # type: ignore[method-assign]
    run(carrier, 600)
    assert refused <= 20


def test_a_lane_is_free_again_after_a_quiet_minute() -> None:
    pace = LanePace(0.0)
    pace.accepted(10, 0.0)
    pace.throttled(0.0)
    assert pace.is_throttled
    assert pace.room(0.01) < 1
    for second in range(1, 63):
        pace.accepted(1, float(second))
    assert not pace.is_throttled
    assert pace.room(63.0) == float("inf")


def test_a_carrier_that_takes_nothing_is_asked_now_and_then() -> None:
    pace = LanePace(0.0)
    asked = 0
    for step in range(1_000):
        now_s = step * 0.1
        if pace.room(now_s) >= 1.0:
            asked += 1
            pace.take(1, now_s)
            pace.throttled(now_s)
    assert 95 <= asked <= 105


def test_the_configured_rate_holds_below_the_learned_one() -> None:
    pace = LanePace(5.0)
    pace.accepted(50, 0.0)
    pace.throttled(0.0)
    pace.take(1, 1.0)
    assert pace.wait_s(1.0) == pytest.approx(0.2)
    pace.configure(0.0)
    assert pace.wait_s(2.0) < 0.2


def test_a_lane_that_fell_on_little_evidence_climbs_back_fast() -> None:
    pace = LanePace(0.0)
    pace.throttled(0.0)
    now_s, passed = 0.0, 0
    while now_s < 20.0:
        now_s += 0.01
        room = int(pace.room(now_s))
        pace.take(room, now_s)
        passed += room
        pace.accepted(room, now_s)
    assert passed > 1_000


def test_a_lane_that_was_throttled_for_others_is_not_slow_for_a_minute() -> None:
    pace = LanePace(0.0)
    now_s = 0.0
    while now_s < 8.0:  # a lane that shares a bind gets its part of the refusals
        now_s += 1.1
        pace.accepted(1, now_s)
        pace.throttled(now_s)
    passed, ends_s = 0, now_s + 25.0
    while now_s < ends_s:
        now_s += 0.01
        room = int(pace.room(now_s))
        pace.take(room, now_s)
        passed += room
        pace.accepted(room, now_s)
    assert passed > 500
