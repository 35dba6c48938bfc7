"""What a desk may send now: reading ahead within bounds, choosing, and what answers change."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from viesti.carriers.base import SubmitOutcome, Verdict
from viesti.dispatch.attempt import Start, Started
from viesti.dispatch.leases import LaneLease
from viesti.dispatch.outcome import Attempt
from viesti.dispatch.settings import (
    MIN_READ_AHEAD,
    MOST_KNOWN_TIMES,
    READ_AHEAD,
    READ_AHEAD_ALL,
    REREAD_S,
)
from viesti.dispatch.supply import Supply
from viesti.dispatch.texts import Text
from viesti.kit.ids import new_id

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LANE = LaneLease(UUID(int=2), UUID(int=1), UUID(int=3), "+12025550100", 0.0)


def text(mobile: str = "a", *, priority: int = 1, segments: int = 1) -> Text:
    made = Text(LANE.account_id, LANE.lane_id, new_id(), mobile, priority, NOW, segments, 0, False)
    made.parts = (b"part",) * segments
    return made


def supply(*texts: Text, rate_per_s: float = 0.0) -> Supply:
    made = Supply(rate_per_s, resends_unknown=False)
    made.add_lane(LANE)
    for one in texts:
        made.lanes[LANE.lane_id].texts.add(one)
    return made


def choose(made: Supply, room: int = 100, now_s: float = 0.0) -> list[Start]:
    return made.choose(room, now_s, ())


def grant(made: Supply, wishes: list[Start], now_s: float = 0.0) -> list[Attempt]:
    submits = made.take_started(Started(granted=wishes), now_s)
    return [submit.key for submit in submits if isinstance(submit.key, Attempt)]


def answer(
    made: Supply, verdict: Verdict, *attempts: Attempt, code: str = "", now_s: float = 0.0
) -> None:
    made.settle([(one, SubmitOutcome(one, verdict, "id", code)) for one in attempts], now_s)


def waiting(made: Supply) -> int:
    return len(made.lanes[LANE.lane_id].texts)


def test_a_chosen_segment_counts_as_started_only_when_that_is_committed() -> None:
    long = text(segments=3)
    made = supply(long)
    (wish,) = choose(made)
    assert (wish.mask, long.started) == (0b111, 0)
    attempts = grant(made, [wish])
    assert long.started == 0b111
    assert [one.segment for one in attempts] == [0, 1, 2]


def test_the_room_is_never_exceeded_and_a_long_text_goes_on_with_the_next() -> None:
    made = supply(text("a", segments=3), text("b", segments=3))
    sizes: list[int] = []
    for _ in range(4):
        wishes = choose(made, 2)
        sizes.append(sum(wish.mask.bit_count() for wish in wishes))
        for one in grant(made, wishes):
            answer(made, Verdict.ACCEPTED, one)
    assert sizes == [2, 2, 2, 0]
    assert waiting(made) == 0


def test_a_start_that_was_not_committed_comes_up_again_at_once() -> None:
    made = supply(text("a"), text("b"))
    first = choose(made, 1)
    made.put_back(first[0].text, 0.0)
    assert [wish.text for wish in choose(made, 1)] == [first[0].text]


def test_a_text_with_an_outcome_that_takes_back_a_start_waits_for_its_commit() -> None:
    long = text(segments=3)
    made = supply(long)
    (wish,) = choose(made, 2)
    grant(made, [wish])
    assert made.choose(5, 0.0, {long}) == []
    assert [w.mask for w in choose(made, 5)] == [0b100]


def test_a_refused_segment_ends_the_text_and_frees_its_number() -> None:
    made = supply(text("a", segments=2), follower := text("a"))
    one, two = grant(made, choose(made))
    answer(made, Verdict.REFUSED, one, code="MSG-003")
    assert [wish.text for wish in choose(made)] == [follower]
    answer(made, Verdict.ACCEPTED, two)
    assert waiting(made) == 1


def test_an_unknown_outcome_frees_the_number_too() -> None:
    made = supply(text("a"), follower := text("a"))
    answer(made, Verdict.UNKNOWN, *grant(made, choose(made)))
    assert made.counters.held == 1
    assert [wish.text for wish in choose(made)] == [follower]


def test_a_segment_that_was_put_off_is_tried_again_later_and_alone() -> None:
    made = supply(long := text("a", segments=2))
    one, two = grant(made, choose(made))
    answer(made, Verdict.ACCEPTED, one)
    answer(made, Verdict.RETRY, two, code="MSG-033")
    assert choose(made, now_s=0.9) == []
    assert made.wait_s(0.4) == 0.6
    assert [wish.mask for wish in choose(made, now_s=1.0)] == [0b10]
    assert long.retries == 1


def test_nothing_waits_means_no_wait_is_known() -> None:
    made = supply(text("a"))
    assert made.wait_s(0.0) == 0.0
    grant(made, choose(made))
    assert made.wait_s(0.0) is None


def test_a_carriers_pace_bounds_all_its_lanes() -> None:
    made = supply(*(text(str(n)) for n in range(100)), rate_per_s=100.0)
    sent = 0
    for step in range(100):
        wishes = choose(made, now_s=step * 0.005)
        sent += len(wishes)
        grant(made, wishes)
    assert 45 <= sent <= 56


# Lanes that come and go


def test_a_lane_is_left_when_its_last_answer_is_in() -> None:
    made = supply(text("a"), text("b"))
    (one,) = grant(made, choose(made, 1))
    made.leave([LANE.lane_id])
    assert made.left == []
    assert choose(made) == []
    answer(made, Verdict.ACCEPTED, one)
    assert made.left == [LANE.lane_id]
    assert made.lanes == {}


def test_a_half_answered_text_does_not_keep_a_lane_that_is_left() -> None:
    made = supply(text("a", segments=3))
    attempts = grant(made, choose(made, 1))
    made.leave([LANE.lane_id])
    answer(made, Verdict.ACCEPTED, *attempts)
    assert made.left == [LANE.lane_id]


def test_a_throttled_text_of_a_lane_that_is_left_is_let_go() -> None:
    made = supply(text("a"))
    attempts = grant(made, choose(made))
    made.leave([LANE.lane_id])
    answer(made, Verdict.THROTTLED, *attempts, code="MSG-028")
    assert made.left == [LANE.lane_id]


def test_a_lane_that_is_served_again_before_it_was_left_goes_on_with_its_texts() -> None:
    made = supply(long := text("a", segments=3))
    attempts = grant(made, choose(made, 1))
    made.leave([LANE.lane_id])
    made.add_lane(LANE)
    answer(made, Verdict.ACCEPTED, *attempts)
    (wish,) = choose(made)
    assert (wish.text, wish.mask) == (long, 0b110)


def test_a_lane_leased_again_is_not_given_back() -> None:
    made = supply()
    made.leave([LANE.lane_id])
    assert made.left == [LANE.lane_id]
    made.add_lane(LANE)
    assert made.left == []


def test_answers_of_a_lane_that_is_gone_change_nothing() -> None:
    made = supply(text("a"))
    attempts = grant(made, choose(made))
    made.lanes.clear()
    answer(made, Verdict.ACCEPTED, *attempts)
    answer(made, Verdict.RETRY, *attempts, code="MSG-033")
    assert made.left == []


# Reading


def feed(made: Supply, numbers: list[str], now_s: float, priority: int = 1) -> int:
    """Answer every read with as many texts as it asks for; how many that were."""
    given = 0
    reads = made.reads(now_s)
    for read in reads:
        if read.cursor.priority == priority:
            texts = [text(numbers[n % len(numbers)]) for n in range(read.quota)]
            for one in texts:
                one.priority = priority
            given += len(texts)
            made.take_in([read], texts)
        else:
            made.take_in([read], [])
    return given


def test_a_lane_reads_ahead_to_its_quota_and_no_further() -> None:
    made = supply()
    numbers = [str(n) for n in range(100_000)]
    for step in range(50):
        feed(made, numbers, step * REREAD_S)
    assert READ_AHEAD // 2 <= waiting(made) <= READ_AHEAD


def test_a_hundred_thousand_texts_to_one_number_do_not_fill_the_memory() -> None:
    made = supply()
    given = sum(feed(made, ["a"], step * 0.01) for step in range(500))
    assert given > 100_000
    assert waiting(made) <= READ_AHEAD * MOST_KNOWN_TIMES


def test_texts_that_all_wait_for_a_retry_do_not_fill_the_memory() -> None:
    made = supply()
    number = iter(range(10**9))
    for step in range(200):
        now_s = step * 0.01
        feed(made, [str(next(number)) for _ in range(2_000)], now_s)
        attempts = grant(made, choose(made, 500, now_s), now_s)
        for one in attempts:
            one.text.retries = 10
        answer(made, Verdict.RETRY, *attempts, code="MSG-033", now_s=now_s)
    assert waiting(made) <= READ_AHEAD * (MOST_KNOWN_TIMES + 1)


def test_replies_are_read_while_bulk_fills_the_lane() -> None:
    made = supply()
    feed(made, [str(n) for n in range(READ_AHEAD)], 0.0)
    assert waiting(made) == READ_AHEAD
    made.hint([LANE.lane_id])
    assert [read.cursor.priority for read in made.reads(0.1)] == [0]


def test_many_lanes_share_what_may_be_read_ahead() -> None:
    made = Supply(0.0, resends_unknown=False)
    for n in range(READ_AHEAD_ALL // MIN_READ_AHEAD * 2):
        made.add_lane(LaneLease(UUID(int=n), UUID(int=n), UUID(int=3), "", 0.0))
    assert {read.quota for read in made.reads(0.0)} == {MIN_READ_AHEAD}


def test_a_queue_that_was_read_to_its_end_is_read_again_after_a_hint_or_a_while() -> None:
    made = supply()
    made.take_in(made.reads(0.0), [])
    assert made.reads(0.1) == []
    made.hint([])
    assert len(made.reads(0.2)) == 2
    made.take_in(made.reads(0.2), [])
    assert made.reads(0.3) == []
    assert len(made.reads(REREAD_S)) == 2


def test_a_lane_that_is_left_is_not_read() -> None:
    made = supply(text("a"))
    grant(made, choose(made))
    made.leave([LANE.lane_id])
    assert made.reads(100.0) == []
