"""Invariant 3: no text leaves to a number whose STOP was committed before its attempt started."""

from __future__ import annotations

import asyncio
import random

from tests.dispatch.bed import SENDER, Bed, handset

TEXTS = 200
RATE_PER_S = 75
STOPS = 80
# What the window and the next second of pace can send had started already (design, section 2).
STARTED_S = 1.0


async def test_stops_strewn_through_a_campaign_are_heard_at_once(bed: Bed) -> None:
    bed.run("UPDATE senders SET rate_per_s = %s", RATE_PER_S)
    numbers = [handset(n) for n in range(TEXTS)]
    await bed.start()
    await bed.bound()
    await bed.send(numbers, "The campaign")
    await bed.until(lambda: len(bed.submitted()) > 10, "the campaign has begun")
    stopping = random.Random(3).sample(numbers, STOPS)
    for number in stopping:
        bed.simulator.network.send_text(number[1:], SENDER, "STOP")
        await asyncio.sleep(TEXTS / RATE_PER_S / STOPS / 2)
    await bed.until(
        lambda: bed.rows("SELECT count(*) FROM opt_outs") == [(STOPS,)], "every STOP is heard"
    )
    await bed.until(lambda: set(bed.statuses()) <= {"delivered", "error"}, "an end for each")

    asked = {mobile: at.timestamp() for mobile, at in bed.rows("SELECT mobile, at FROM opt_outs")}
    ends = dict(
        bed.rows("SELECT mobile, error_code FROM messages WHERE kind = 'text' AND outgoing")
    )
    left = {
        f"+{pdu.destination}": pdu.at_s
        for pdu in bed.submitted()
        if pdu.payload.startswith(b"The campaign")
    }
    refused = {mobile for mobile, code in ends.items() if code == "CONT-010"}
    # The wire and the books tell the same story, and it is no trivial one.
    assert refused == set(numbers) - set(left)
    assert refused <= set(stopping)
    assert STOPS // 4 < len(refused) < STOPS
    late = [left[n] - at for n, at in asked.items() if n in left and left[n] > at + STARTED_S]
    assert late == []
    # Each of them has heard once that it is heard.
    confirmed = [p.destination for p in bed.submitted() if not p.payload.startswith(b"The camp")]
    assert sorted(confirmed) == sorted(number[1:] for number in stopping)
    bed.check_books()


async def test_no_change_of_the_contact_lets_a_text_out_that_waited_through_a_stop(
    bed: Bed,
) -> None:
    """Deleted, made again, sent to again: an opt-out is of the number."""
    (number,) = numbers = [handset(1)]
    await bed.send(numbers, "Before")
    bed.run(
        "INSERT INTO opt_outs (account_id, mobile, at, source) VALUES (%s, %s, now(), 'person')",
        bed.account_id,
        number,
    )
    bed.run("UPDATE contacts SET deleted_at = now()")
    await bed.send(numbers, "After")
    bed.run("UPDATE contacts SET deleted_at = now() WHERE deleted_at IS NULL")
    await bed.start()
    await bed.bound()
    await bed.send([handset(2)], "To another")
    await bed.settled(delivered=1, error=2)
    assert {pdu.destination for pdu in bed.submitted()} == {handset(2)[1:]}
    bed.check_books()
