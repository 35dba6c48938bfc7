"""Order within a conversation, retries and bounds: the texts of one lane in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from viesti.dispatch.settings import MOST_TO_ONE_NUMBER
from viesti.dispatch.texts import PATIENT_THROTTLES, RETRY_MOST_S, LaneTexts, Text
from viesti.kit.ids import new_id

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def text(mobile: str = "a", *, priority: int = 1, segments: int = 1) -> Text:
    return Text(UUID(int=1), UUID(int=2), new_id(), mobile, priority, NOW, segments, 0, False)


def start(texts: LaneTexts, now_s: float = 0.0) -> Text | None:
    """Start all of the next text, as a lane does."""
    found = texts.peek(now_s)
    if found is not None:
        found.started = found.all_bits
        texts.advance(found)
    return found


def finish(texts: LaneTexts, done: Text) -> None:
    done.answered = done.all_bits
    texts.finish(done)


def test_texts_leave_in_the_order_they_came() -> None:
    texts, all_ = LaneTexts(), [text(str(n)) for n in range(5)]
    for one in all_:
        assert texts.add(one)
    assert [start(texts) for _ in range(6)] == [*all_, None]


def test_a_known_text_is_not_taken_in_twice() -> None:
    texts, one = LaneTexts(), text()
    assert texts.add(one)
    assert not texts.add(one)
    assert len(texts) == texts.waiting == 1


def test_a_later_text_to_a_number_waits_for_the_end_of_the_earlier_one() -> None:
    texts, first, second, other = LaneTexts(), text("a"), text("a"), text("b")
    for one in (first, second, other):
        texts.add(one)
    assert start(texts) is first
    assert start(texts) is other
    assert start(texts) is None
    finish(texts, first)
    assert start(texts) is second


def test_replies_come_before_bulk() -> None:
    texts, bulk, reply = LaneTexts(), text("a"), text("b", priority=0)
    texts.add(bulk)
    texts.add(reply)
    assert start(texts) is reply
    assert start(texts) is bulk


def test_a_reply_waits_for_the_bulk_text_that_is_under_way_to_its_number() -> None:
    texts, bulk, reply, other = LaneTexts(), text("a"), text("a", priority=0), text("b")
    texts.add(bulk)
    assert start(texts) is bulk
    texts.add(reply)
    texts.add(other)
    assert start(texts) is other
    finish(texts, bulk)
    assert start(texts) is reply


def test_a_text_that_waits_for_a_retry_keeps_its_followers_back() -> None:
    texts, first, second, other = LaneTexts(), text("a"), text("a"), text("b")
    for one in (first, second, other):
        texts.add(one)
    assert start(texts) is first
    first.started = 0
    texts.retry(first, 10.0)
    assert start(texts, 9.0) is other
    assert start(texts, 9.0) is None
    assert texts.next_retry_s() == 10.0
    assert start(texts, 10.0) is first
    finish(texts, first)
    assert start(texts, 10.0) is second


def test_a_text_whose_segments_started_in_part_stays_next() -> None:
    texts, long, other = LaneTexts(), text("a", segments=3), text("b")
    texts.add(long)
    texts.add(other)
    assert texts.peek(0.0) is long
    mask = long.next_mask(2)
    assert mask == 0b011
    long.started |= mask
    assert texts.peek(0.0) is long
    assert long.next_mask(5) == 0b100


def test_what_is_finished_while_it_waits_is_passed_over() -> None:
    texts, gone, follower, other = LaneTexts(), text("a"), text("a"), text("b")
    for one in (gone, follower, other):
        texts.add(one)
    texts.finish(gone)
    assert start(texts) is follower
    assert start(texts) is other
    assert len(texts) == 2


def test_a_finished_follower_does_not_keep_those_behind_it() -> None:
    texts, all_ = LaneTexts(), [text("a") for _ in range(3)]
    for one in all_:
        texts.add(one)
    assert start(texts) is all_[0]
    assert start(texts) is None
    texts.finish(all_[1])
    finish(texts, all_[0])
    assert start(texts) is all_[2]


def test_one_number_takes_a_bounded_place_and_keeps_its_order() -> None:
    queue = [text("a") for _ in range(4 * MOST_TO_ONE_NUMBER)]
    texts = LaneTexts()
    taken: list[Text] = []
    reread = True
    while len(taken) < len(queue):
        if reread or texts.wants_reread:
            texts.begin_reread()
            for one in queue[len(taken) :]:
                texts.add(one)
            reread = False
        assert len(texts) <= MOST_TO_ONE_NUMBER
        # News arrive in between; they must not pass those that were turned away.
        late = text("a")
        if len(queue) < 5 * MOST_TO_ONE_NUMBER:
            queue.append(late)
            texts.add(late)
        found = start(texts)
        assert found is not None
        finish(texts, found)
        taken.append(found)
    assert taken == queue


def test_others_come_in_past_a_number_that_is_full() -> None:
    texts = LaneTexts()
    for _ in range(2 * MOST_TO_ONE_NUMBER):
        texts.add(text("a"))
    assert texts.add(text("b"))


def test_a_lane_that_is_given_up_keeps_only_what_awaits_an_answer() -> None:
    texts, first, second, other = LaneTexts(), text("a", segments=2), text("a"), text("b")
    for one in (first, second, other):
        texts.add(one)
    assert texts.peek(0.0) is first
    first.started = 0b01
    assert texts.drop_unstarted() == 1
    assert len(texts) == 1
    assert start(texts) is None
    # Served again, it goes on where it was, and others may come in anew.
    again = text("a")
    texts.add(again)
    first.answered = 0b01
    texts.retry(first, 0.0)
    assert start(texts) is first
    finish(texts, first)
    assert start(texts) is again


def test_back_off_grows_to_its_bound() -> None:
    one = text()
    waits = [one.back_off_s(is_throttled=False) for _ in range(40)]
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == RETRY_MOST_S
    assert 20 * 60 < sum(waits[:30]) < 40 * 60


def test_throttling_is_borne_for_a_while_without_a_wait() -> None:
    one = text(segments=3)
    waits = [one.back_off_s(is_throttled=True) for _ in range(PATIENT_THROTTLES * 3 + 2)]
    assert set(waits[:-2]) == {0.0}
    assert waits[-2:] == [1.0, 2.0]


class Lane(RuleBasedStateMachine):
    """Any order of arrivals, starts, answers, retries and hand-overs."""

    @initialize()
    def set_up(self) -> None:
        self.texts = LaneTexts()
        self.now_s = 0.0
        self.all: list[Text] = []  # in the order of arrival
        self.in_flight: list[Text] = []
        self.retrying: list[Text] = []
        self.started: list[Text] = []
        self.done: list[Text] = []
        self.dropped: list[Text] = []

    @rule(mobile=st.sampled_from("abc"), priority=st.sampled_from([0, 1]), n=st.integers(1, 3))
    def arrive(self, mobile: str, priority: int, n: int) -> None:
        one = text(mobile, priority=priority, segments=n)
        if self.texts.add(one):
            self.all.append(one)

    @rule(most=st.integers(1, 4))
    def take(self, most: int) -> None:
        found = self.texts.peek(self.now_s)
        if found is None:
            return
        mask = found.next_mask(most)
        assert mask, "a text without an open segment came up"
        if found not in self.in_flight:
            self.in_flight.append(found)
        if found in self.retrying:
            self.retrying.remove(found)
        found.started |= mask
        if not found.open_segments:
            self.texts.advance(found)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        found = data.draw(st.sampled_from(self.in_flight))
        found.answered = found.started
        if found.is_done:
            self.texts.finish(found)
            self.in_flight.remove(found)
            self.done.append(found)
        elif not found.is_queued:
            self.texts.retry(found, self.now_s)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), wait_s=st.sampled_from([0.0, 1.0, 5.0]))
    def put_off(self, data: st.DataObject, wait_s: float) -> None:
        found = data.draw(st.sampled_from(self.in_flight))
        found.started = found.answered
        self.in_flight.remove(found)
        self.retrying.append(found)
        self.texts.retry(found, self.now_s + wait_s)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        found = data.draw(st.sampled_from(self.in_flight))
        self.texts.finish(found)
        self.in_flight.remove(found)
        self.done.append(found)

    @rule(seconds=st.sampled_from([0.5, 2.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def give_up(self) -> None:
        staying = [one for one in self.in_flight if one.is_in_flight]
        assert self.texts.drop_unstarted() == len(staying)
        dropped = [one for one in self.all if one not in staying and one not in self.done]
        self.dropped += dropped
        self.done += dropped
        self.retrying.clear()
        self.in_flight = staying
        for one in staying:
            if one.open_segments:
                self.texts.retry(one, self.now_s)

    @invariant()
    def one_number_at_a_time(self) -> None:
        if not hasattr(self, "in_flight"):
            return
        under_way = [one.mobile for one in self.in_flight + self.retrying]
        assert len(under_way) == len(set(under_way))

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "all"):
            assert len(self.texts) == len(self.all) - len(self.done)

    def teardown(self) -> None:
        """Everything goes out in the end, in its number's and priority's order."""
        if not hasattr(self, "all"):
            return
        self.now_s += 1_000.0
        for one in list(self.in_flight):
            self.texts.finish(one)
            self.done.append(one)
        left = [one for one in self.all if one not in self.done]
        order: list[Text] = []
        while (found := self.texts.peek(self.now_s)) is not None:
            found.started = found.all_bits
            self.texts.advance(found)
            self.texts.finish(found)
            order.append(found)
        assert sorted(map(id, order)) == sorted(map(id, left))
        for mobile in "abc":
            for priority in (0, 1):
                mine = [t for t in order if (t.mobile, t.priority) == (mobile, priority)]
                assert mine == [t for t in left if t in mine]
        assert len(self.texts) == 0


Lane.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_any_life_of_a_lane = Lane.TestCase
