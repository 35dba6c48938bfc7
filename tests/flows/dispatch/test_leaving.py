"""Leases that are lost or carriers that change while texts are in flight."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from tests.dispatch.bed import Bed, handset
from viesti.carriers.simulator.behaviour import Behaviour
from viesti.carriers.simulator.log import IN
from viesti.carriers.smpp.pdu import Command
from viesti.dispatch import leases
from viesti.domain.senders.service import PASSWORD_PURPOSE
from viesti.kit.ids import new_id


async def test_a_lane_lost_to_another_while_texts_are_in_flight(bed: Bed) -> None:
    bed.simulator.network.knobs.response_delay_s = 3.5
    dispatcher = await bed.start()
    await bed.bound()
    await bed.send([handset(n) for n in range(150)])
    await bed.until(lambda: len(bed.submitted()) == 100, "a full window")
    thief = new_id()
    with psycopg.connect(bed.settings.database_url) as other:
        leases.announce(other, thief)
        other.execute("UPDATE lanes SET owner = %s, lease_until = now() + interval '1 h'", (thief,))
        other.commit()
        # Longer than a renewal: the loss is noticed with all answers still open.
        await asyncio.sleep(2.5)
        bed.simulator.network.knobs.response_delay_s = 0.0
        await bed.settled(delivered=100, queued=50)
        other.execute("UPDATE lanes SET owner = NULL, lease_until = NULL")
    await bed.settled(delivered=150)
    assert bed.taken_twice() == []
    assert dispatcher.desks
    bed.check_books()


async def test_a_dispatcher_that_lost_its_only_bind_gives_its_lanes_back(bed: Bed) -> None:
    dispatcher = await bed.start()
    await bed.bound()
    await bed.send([handset(1)])
    await bed.settled(delivered=1)
    thief = new_id()
    with psycopg.connect(bed.settings.database_url) as other:
        leases.announce(other, thief)
        other.execute("UPDATE binds SET owner = %s, lease_until = now() + interval '1 h'", (thief,))
        other.commit()
        await bed.until(lambda: bed.rows("SELECT owner FROM lanes") == [(None,)], "a free lane")
        await bed.bound(0)
        other.execute("UPDATE binds SET owner = NULL, lease_until = NULL")
    await bed.send([handset(2)])
    await bed.settled(delivered=2)
    assert dispatcher.desks


@pytest.mark.slow
async def test_a_carrier_that_drains_slowly_does_not_stop_the_others(bed: Bed) -> None:
    bed.add_carrier("other", "second")
    other = bed.add_account()
    bed.add_sender("+12025550155", "other", account_id=other)
    bed.behave(handset(1), Behaviour(answer="none", receipts=()))
    await bed.start()
    await bed.bound(2)
    await bed.send([handset(1)])
    await bed.until(lambda: len(bed.submitted()) == 1, "one that is never answered")
    bed.run(
        "UPDATE carriers SET secret_encrypted = %s WHERE name = 'main'",
        bed.key.encrypt(PASSWORD_PURPOSE, b"secret"),
    )
    bed.run("UPDATE carriers SET \"window\" = 50 WHERE name = 'main'")
    for n in range(11):
        (message_id,) = await bed.send([handset(100 + n)], account_id=other)
        await bed.until(lambda id_=message_id: bed.status(id_)[0] == "delivered", "others go", 1.5)
        await asyncio.sleep(0.9)


@pytest.mark.slow
async def test_a_slow_end_keeps_its_leases_until_all_is_answered(bed: Bed) -> None:
    bed.simulator.network.knobs.response_delay_s = 8.0
    first = await bed.start()
    await bed.bound()
    await bed.send([handset(n) for n in range(150)])
    await bed.until(lambda: len(bed.submitted()) == 100, "a full window")
    bed.simulator.network.knobs.response_delay_s = 0.0
    await bed.start()
    first.stop()
    await bed.settled(25, delivered=150)
    assert bed.taken_twice() == []
    bed.check_books()


async def test_a_sender_that_loses_its_text_to_an_opt_out_sends_the_others(bed: Bed) -> None:
    await bed.start()
    await bed.bound()
    bed.run("UPDATE senders SET rate_per_s = 20")
    bed.behave(handset(0), Behaviour(reply="STOP", reply_limit=1, reply_delay_s=0.0))
    await bed.send([handset(0)], "First")
    await bed.send([handset(n) for n in (*range(1, 30), 0)], "Later")
    await bed.until(lambda: bed.rows("SELECT count(*) FROM opt_outs") == [(1,)], "the opt-out")
    # The confirmation is one more.
    await bed.until(lambda: bed.statuses() == {"delivered": 31, "error": 1}, "all but one")
    to_it = [p for p in bed.submitted() if p.destination == handset(0)[1:]]
    assert len(to_it) == 2
    assert b"Later" not in b"".join(p.payload for p in to_it)


async def test_the_order_within_a_conversation_holds_through_retries(bed: Bed) -> None:
    bed.simulator.network.faults.set_rate(60, "bind")
    await bed.start()
    await bed.bound()
    for order in range(5):
        await bed.send([handset(n) for n in range(20)], f"{order:03d}" + "a" * 150)
    await bed.settled(delivered=100)
    for n in range(20):
        mine = [
            pdu.payload
            for pdu in bed.submitted()
            if pdu.destination == handset(n)[1:] and pdu.status == 0
        ]
        assert [payload[:3] for payload in mine] == [b"000", b"001", b"002", b"003", b"004"]


async def test_a_carrier_that_is_down_for_a_moment_is_asked_again_later(bed: Bed) -> None:
    bed.behave(handset(1), Behaviour(answer="refuse", status=0x08))
    await bed.start()
    await bed.bound()
    await bed.send([handset(1)])
    await bed.until(lambda: len(bed.submitted()) == 2, "a second try")
    bed.behave(handset(1), Behaviour())
    await bed.settled(delivered=1)
    first, second, *_ = bed.submitted()
    assert second.at_s - first.at_s >= 0.9
    bed.check_books()


async def test_a_hundred_thousand_waiting_texts_do_not_fill_the_memory(bed: Bed) -> None:
    def fill() -> None:
        bed.run(
            "INSERT INTO dispatch_queue (account_id, message_id, lane_id, mobile, priority,"
            " not_before, segments) SELECT %s, gen_random_uuid(), %s,"
            " '+1' || (2125550000 + n %% 50000), 1, now(), 1 FROM generate_series(1, 100000) n",
            bed.account_id,
            next(iter(bed.lanes.values())),
        )
        bed.run("UPDATE lanes SET active_until = now() + interval '5 minutes'")

    await asyncio.to_thread(fill)
    await bed.simulator.stop_listening()
    dispatcher = await bed.start()
    known = 0
    for _ in range(30):
        await asyncio.sleep(0.1)
        lanes = [lane for desk in dispatcher.desks.values() for lane in desk.supply.lanes.values()]
        known = max(known, sum(len(lane.texts) for lane in lanes))
    assert 500 <= known <= 2_000
    assert bed.simulator.network.log.count(IN, Command.SUBMIT_SM) == 0
