"""Scenario 16 and its kin: rates of ours and limits of theirs, by the SMSC's own log."""

from __future__ import annotations

import pytest

from tests.dispatch.bed import SENDER, Bed, Submitted, handset
from viesti.carriers.simulator.behaviour import Behaviour


def seconds(pdus: list[Submitted]) -> float:
    return pdus[-1].at_s - pdus[0].at_s


def busiest_second(pdus: list[Submitted]) -> int:
    times = sorted(pdu.at_s for pdu in pdus)
    return max(sum(1 for other in times[n:] if other < at_s + 1) for n, at_s in enumerate(times))


async def throttle(bed: Bed, rate_per_s: float, texts: int, status: int = 0x58) -> float:
    """Three-part texts through an SMSC that takes so many PDUs a second; how long it took."""
    bed.simulator.network.faults.set_rate(rate_per_s, "bind", status)
    bed.add_carrier("free", "second")
    bed.add_sender("+12025550101", "free", account_id=(other := bed.add_account()))
    await bed.start()
    await bed.bound(2)
    # Two texts to each number: their order must hold.
    numbers = [handset(n) for n in range(texts // 2)]
    for order in ("first ", "second "):
        await bed.send(numbers, order + "a" * 390)
    await bed.settled(texts / rate_per_s * 3 * 2 + 15, delivered=texts)
    by_number: dict[str, list[Submitted]] = {}
    accepted = [pdu for pdu in bed.submitted() if pdu.status == 0]
    assert len(accepted) == 3 * texts
    for pdu in accepted:
        by_number.setdefault(pdu.destination, []).append(pdu)
    for pdus in by_number.values():
        # Each text whole before the next one begins; its header is of six octets.
        for order, mine in ((b"first", pdus[:3]), (b"second", pdus[3:])):
            words = {pdu.payload[5]: pdu.payload[6:] for pdu in mine}
            assert sorted(words) == [1, 2, 3]
            assert words[1].startswith(order)
    assert bed.rows("SELECT count(*) FROM messages WHERE error_code IS NOT NULL") == [(0,)]
    assert other
    bed.check_books()
    return seconds(accepted)


async def test_a_throttling_carrier_is_served_at_its_own_pace(bed: Bed) -> None:
    taken_s = await throttle(bed, 40, 60)
    assert 4 <= taken_s <= 10  # at best 180 PDUs / 40 a second


@pytest.mark.slow
@pytest.mark.parametrize("status", [0x58, 0x14])
async def test_scenario_16_a_hundred_texts_at_ten_a_second(bed: Bed, status: int) -> None:
    taken_s = await throttle(bed, 10, 100, status)
    assert 28 <= taken_s <= 45


async def test_a_sender_on_another_bind_is_not_slowed(bed: Bed) -> None:
    bed.simulator.network.faults.set_rate(5, "system")
    bed.add_carrier("free", "second")
    other = bed.add_account()
    bed.add_sender("+12025550101", "free", account_id=other)
    await bed.start()
    await bed.bound(2)
    await bed.send([handset(n) for n in range(100)])
    await bed.until(lambda: len(bed.submitted()) >= 10, "the slow one has begun")
    bed.simulator.network.faults.set_rate(5, "sender")
    await bed.send([handset(1_000)], account_id=other)
    await bed.until(
        lambda: (
            bed.rows("SELECT status FROM messages WHERE account_id = %s", other) == [("delivered",)]
        ),
        "the other one's text",
        4.0,
    )
    assert bed.statuses()["queued"] > 50


async def test_one_number_that_is_always_throttled_does_not_stop_its_lane(bed: Bed) -> None:
    bed.behave(handset(0), Behaviour(answer="refuse", status=0x58))
    # One at a time, so that whoever is asked again keeps all others waiting.
    bed.run('UPDATE carriers SET "window" = 1')
    await bed.start()
    await bed.bound()
    await bed.send([handset(n) for n in range(4)])
    await bed.settled(delivered=3, queued=1)


async def test_a_senders_rate_is_kept(bed: Bed) -> None:
    bed.run("UPDATE senders SET rate_per_s = 50")
    await bed.start()
    await bed.bound()
    await bed.send([handset(n) for n in range(100)])
    await bed.settled(delivered=100)
    assert 1.8 <= seconds(bed.submitted()) <= 6
    assert busiest_second(bed.submitted()) <= 60


async def test_a_carriers_rate_holds_for_all_its_senders_together(bed: Bed) -> None:
    bed.run("UPDATE carriers SET rate_per_s = 50")
    other = bed.add_account()
    bed.add_sender("+12025550101", account_id=other)
    await bed.start()
    await bed.bound()
    await bed.send([handset(n) for n in range(60)])
    await bed.send([handset(n) for n in range(60)], account_id=other)
    await bed.settled(delivered=120)
    assert 2.2 <= seconds(bed.submitted()) <= 7
    assert busiest_second(bed.submitted()) <= 60
    # And they share it: neither waits for the other's end.
    late = [pdu.source for pdu in bed.submitted()[-20:]]
    assert len(set(late)) == 2


async def test_a_reply_goes_before_bulk_that_waits_for_pace(bed: Bed) -> None:
    bed.run("UPDATE senders SET rate_per_s = 20")
    await bed.start()
    await bed.bound()
    await bed.send([handset(n) for n in range(1_000)])
    await bed.until(lambda: len(bed.submitted()) > 5, "bulk has begun")
    (reply,) = await bed.send([handset(5_000)], "A reply")
    await bed.until(lambda: bed.status(reply)[0] == "delivered", "the reply", 4.0)
    assert bed.statuses()["queued"] > 900


async def test_a_small_tenants_text_does_not_wait_for_a_large_ones(bed: Bed) -> None:
    bed.run("UPDATE carriers SET rate_per_s = 100")
    other = bed.add_account()
    bed.add_sender("+12025550101", account_id=other)
    await bed.start()
    await bed.bound()
    await bed.send([handset(n) for n in range(2_000)])
    await bed.until(lambda: len(bed.submitted()) > 50, "bulk has begun")
    (single,) = await bed.send([handset(5_000)], account_id=other)
    await bed.until(lambda: bed.status(single)[0] == "delivered", "the single text", 3.0)


async def test_a_rate_of_zero_is_no_limit(bed: Bed) -> None:
    bed.run("UPDATE senders SET rate_per_s = 5")
    await bed.start()
    await bed.bound()
    await bed.send([handset(n) for n in range(400)])
    await bed.until(lambda: len(bed.submitted()) > 3, "a slow start")
    bed.run("UPDATE senders SET rate_per_s = 0 WHERE number = %s", SENDER)
    await bed.settled(delivered=400)
