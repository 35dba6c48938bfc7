"""What carriers answered, committed: once, whole or in part, soon or late."""

from __future__ import annotations

from uuid import UUID

from tests.messaging_rig import HANDSET, PRICE_MICROS, Rig
from viesti.carriers.base import ReceiptState, SubmitOutcome, Verdict
from viesti.dispatch.outcome import Attempt, commit_outcomes
from viesti.dispatch.texts import MAX_RETRIES, Text
from viesti.domain.messages.parked import hold_abandoned, release_abandoned
from viesti.domain.messages.progress import advance
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

LONG = "a" * 400
ACCEPTED, REFUSED, UNKNOWN = Verdict.ACCEPTED, Verdict.REFUSED, Verdict.UNKNOWN


def begin(rig: Rig, words: str = "Hello", mask: int | None = None) -> tuple[UUID, Text]:
    message_id = rig.send_one(words)
    text = next(t for t in rig.read() if t.message_id == message_id)
    assert rig.start(text, mask)
    return message_id, text


def queue(rig: Rig) -> list[tuple[int, int]]:
    return rig.rows("SELECT started, answered FROM dispatch_queue")  # type: ignore[return-value]


def parked(rig: Rig) -> list[tuple[int, int]]:
    return rig.rows("SELECT started, answered FROM parked_messages")  # type: ignore[return-value]


def test_an_accepted_text_is_sent_charged_and_out_of_the_queue(rig: Rig) -> None:
    before = rig.balance()
    message_id, text = begin(rig)
    rig.answer([(text, 0, ACCEPTED, "id-0")])
    assert rig.status(message_id) == ("sent", None)
    assert queue(rig) == []
    assert rig.balance() == (before[0] - PRICE_MICROS, 0)
    rig.check_books()


def test_a_batch_that_is_committed_twice_counts_once(rig: Rig) -> None:
    before = rig.balance()
    one, first = begin(rig)
    two, long = begin(rig, LONG)
    three, refused = begin(rig, "No")
    four, lost = begin(rig, "Lost")
    batch = [
        (first, 0, ACCEPTED, "id-0"),
        (long, 0, ACCEPTED, "id-1"),
        (long, 2, Verdict.THROTTLED, "MSG-028"),
        (refused, 0, REFUSED, "MSG-003"),
        (lost, 0, UNKNOWN, ""),
    ]
    for _ in range(2):
        rig.answer(batch)
        first.answered = long.answered = 0  # as memory is until the commit is known
        long.started = 0b111
        assert rig.status(one)[0] == "sent"
        assert rig.status(two)[0] == "queued"
        assert rig.status(three) == ("error", "MSG-003")
        assert rig.status(four)[0] == "held"
        assert queue(rig) == [(0b011, 0b001)]
        assert parked(rig) == [(1, 0)]
        # One is charged, one is released, two are reserved still.
        assert rig.balance() == (before[0] - 5 * PRICE_MICROS, 4 * PRICE_MICROS)
        rig.check_books()


def test_segments_answered_one_by_one_make_a_text_sent_at_the_last(rig: Rig) -> None:
    message_id, text = begin(rig, LONG)
    for segment, status in ((1, "queued"), (0, "queued"), (2, "sent")):
        rig.answer([(text, segment, ACCEPTED, f"id-{segment}")])
        assert rig.status(message_id)[0] == status
    assert rig.rows("SELECT sent_segments FROM messages") == [(3,)]
    rig.check_books()


def test_a_throttled_segment_may_start_again_and_the_answered_ones_may_not(rig: Rig) -> None:
    message_id, text = begin(rig, LONG)
    rig.answer(
        [
            (text, 0, ACCEPTED, "id-0"),
            (text, 1, Verdict.THROTTLED, "MSG-028"),
            (text, 2, ACCEPTED, "id-2"),
        ]
    )
    assert queue(rig) == [(0b101, 0b101)]
    assert text.next_mask(16) == 0b010
    assert rig.start(text)
    rig.answer([(text, 1, ACCEPTED, "id-1")])
    assert rig.status(message_id)[0] == "sent"


def test_one_refused_segment_ends_the_text_and_later_answers_change_nothing(rig: Rig) -> None:
    before = rig.balance()
    message_id, text = begin(rig, LONG)
    rig.answer([(text, 0, ACCEPTED, "id-0"), (text, 1, REFUSED, "MSG-003")])
    assert rig.status(message_id) == ("error", "MSG-003")
    rig.answer([(text, 2, ACCEPTED, "id-2")])
    assert rig.status(message_id) == ("error", "MSG-003")
    assert queue(rig) == []
    assert rig.balance() == before
    rig.check_books()


def test_a_carrier_that_puts_a_text_off_for_too_long_is_not_asked_any_more(rig: Rig) -> None:
    message_id, text = begin(rig)
    text.retries = MAX_RETRIES - 1
    rig.answer([(text, 0, Verdict.RETRY, "MSG-033")])
    assert rig.status(message_id)[0] == "queued"
    text.retries = MAX_RETRIES
    assert rig.start(text)
    rig.answer([(text, 0, Verdict.RETRY, "MSG-033")])
    assert rig.status(message_id) == ("error", "MSG-033")
    rig.check_books()


def test_what_never_left_is_not_counted_against_the_text(rig: Rig) -> None:
    message_id, text = begin(rig)
    text.retries = MAX_RETRIES
    rig.answer([(text, 0, Verdict.RETRY, "")])
    assert rig.status(message_id)[0] == "queued"
    assert queue(rig) == [(0, 0)]


def test_an_unknown_outcome_is_held_with_what_was_answered(rig: Rig) -> None:
    message_id, text = begin(rig, LONG)
    rig.answer([(text, 0, ACCEPTED, "id-0"), (text, 1, UNKNOWN, "")])
    assert rig.status(message_id)[0] == "held"
    assert queue(rig) == []
    assert parked(rig) == [(0b111, 0b001)]
    # The third was in flight all the while.
    rig.answer([(text, 2, ACCEPTED, "id-2")])
    assert parked(rig) == [(0b111, 0b101)]
    rig.check_books()


def test_a_late_answer_settles_a_held_text(rig: Rig) -> None:
    message_id, text = rig.hold()
    assert rig.status(message_id)[0] == "held"
    rig.answer([(text, 0, ACCEPTED, "id-0")])
    assert rig.status(message_id)[0] == "sent"
    assert parked(rig) == []
    rig.receipt("id-0", ReceiptState.DELIVERED)
    assert rig.status(message_id)[0] == "delivered"
    rig.check_books()


def test_a_late_refusal_ends_a_held_text(rig: Rig) -> None:
    before = rig.balance()
    message_id, text = rig.hold()
    rig.answer([(text, 0, REFUSED, "MSG-003")])
    assert rig.status(message_id) == ("error", "MSG-003")
    assert rig.balance() == before
    rig.check_books()


def test_a_late_answer_sends_the_rest_of_a_held_text_on_its_way(rig: Rig) -> None:
    message_id, text = begin(rig, LONG, 0b001)
    rig.answer([(text, 0, UNKNOWN, "")])
    assert rig.status(message_id)[0] == "held"
    rig.answer([(text, 0, ACCEPTED, "id-0")])
    assert rig.status(message_id)[0] == "queued"
    assert queue(rig) == [(0b001, 0b001)]
    (rest,) = rig.read()
    assert rest.next_mask(16) == 0b110


def test_with_the_policy_to_resend_an_unknown_segment_starts_again(rig: Rig) -> None:
    message_id, text = begin(rig)
    rig.answer([(text, 0, UNKNOWN, "")], resend=True)
    assert rig.status(message_id)[0] == "queued"
    assert queue(rig) == [(0, 0)]


def test_a_receipt_that_came_before_its_answer_delivers_with_it(rig: Rig) -> None:
    message_id, text = begin(rig)
    rig.receipt("id-0", ReceiptState.DELIVERED)
    assert rig.status(message_id)[0] == "queued"
    rig.answer([(text, 0, ACCEPTED, "id-0")])
    assert rig.status(message_id)[0] == "delivered"


def test_an_answer_without_an_id_is_an_answer(rig: Rig) -> None:
    message_id, text = begin(rig, LONG)
    rig.answer([(text, n, ACCEPTED, "") for n in range(3)])
    assert rig.status(message_id)[0] == "sent"


def test_texts_of_many_accounts_are_settled_in_one_batch(rig: Rig) -> None:
    other = Rig(rig.pool, carrier_id=new_id()).set_up("+12025550188")
    mine, theirs = begin(rig), begin(other)
    with rig.pool.connection() as conn:
        outcomes = [
            (Attempt(text, 0), SubmitOutcome(None, ACCEPTED, f"id-{n}"))
            for n, (_, text) in enumerate((mine, theirs))
        ]
        steps = commit_outcomes(
            conn, rig.carrier_id, outcomes, resend_unknown=False, receipts="each", now=utc_now()
        )
        advance(conn, steps)
    assert rig.status(mine[0])[0] == other.status(theirs[0])[0] == "sent"
    rig.check_books()
    other.check_books()


# Taking over


def take_over(rig: Rig, me: UUID, under_way: list[UUID] | None) -> int:
    with rig.pool.connection() as conn:
        steps = hold_abandoned(conn, rig.account_id, rig.lane_id, me, under_way, utc_now())
        advance(conn, steps)
    return len(steps)


def test_only_what_had_started_is_held_when_a_lane_is_taken_over(rig: Rig) -> None:
    started, _ = begin(rig)
    waiting = rig.send_one("Later")
    assert take_over(rig, new_id(), []) == 1
    assert rig.status(started)[0] == "held"
    assert rig.status(waiting)[0] == "queued"
    assert [text.message_id for text in rig.read()] == [waiting]
    rig.check_books()


def test_what_is_in_flight_here_is_not_held(rig: Rig) -> None:
    mine, _ = begin(rig)
    assert take_over(rig, rig.me, [mine]) == 0
    # What bears our name but is not in flight was never written; its commit was in doubt.
    assert take_over(rig, rig.me, []) == 1


def test_a_second_look_spares_all_that_bears_our_name(rig: Rig) -> None:
    mine, _ = begin(rig)
    assert take_over(rig, rig.me, None) == 0
    assert rig.status(mine)[0] == "queued"
    assert take_over(rig, new_id(), None) == 1


def test_with_the_policy_to_resend_what_was_under_way_is_queued_again(rig: Rig) -> None:
    message_id, text = begin(rig, LONG)
    rig.answer([(text, 0, ACCEPTED, "id-0")])
    with rig.pool.connection() as conn:
        assert release_abandoned(conn, rig.account_id, rig.lane_id, new_id(), []) == 1
    assert queue(rig) == [(1, 1)]
    assert rig.status(message_id)[0] == "queued"


def test_a_late_answer_after_a_take_over_counts(rig: Rig) -> None:
    message_id, text = begin(rig)
    take_over(rig, new_id(), [])
    rig.answer([(text, 0, ACCEPTED, "id-0")])
    assert rig.status(message_id)[0] == "sent"
    assert rig.rows("SELECT mobile FROM message_segments") == [(HANDSET,)]
    rig.check_books()
