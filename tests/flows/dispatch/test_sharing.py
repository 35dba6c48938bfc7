"""Several dispatchers, and carriers and senders that come while they run."""

from __future__ import annotations

from collections import Counter

from tests.dispatch.bed import Bed, handset


async def test_a_carrier_and_a_sender_added_while_running_are_used_within_two_seconds(
    bed: Bed,
) -> None:
    await bed.start()
    await bed.bound()
    other = bed.add_account()
    bed.add_carrier("later", "second")
    bed.add_sender("+12025550177", "later", account_id=other)
    (message_id,) = await bed.send([handset(1)], account_id=other)
    await bed.until(lambda: bed.status(message_id)[0] == "delivered", "the first text", 3.0)


async def test_two_dispatchers_share_the_binds_and_lanes_of_a_carrier(bed: Bed) -> None:
    bed.run("UPDATE carriers SET max_binds = 2, rate_per_s = 200")
    accounts = [bed.account_id, *(bed.add_account() for _ in range(3))]
    for number, account in enumerate(accounts[1:]):
        bed.add_sender(f"+1202555012{number}", account_id=account)
    first = await bed.start()
    await bed.bound(2)
    for account in accounts:
        await bed.send([handset(n) for n in range(200)], account_id=account)
    second = await bed.start()

    def shared() -> bool:
        desks = [list(d.desks.values()) for d in (first, second)]
        return all(
            len(mine) == 1 and len(mine[0].binds) == 1 and len(mine[0].supply.lanes) == 2
            for mine in desks
        )

    await bed.until(shared, "each has one bind and two lanes")
    await bed.settled(delivered=800)
    assert "held" not in bed.statuses()
    assert bed.taken_twice() == []
    # Together they stay within the carrier's rate.
    seconds = Counter(int(pdu.at_s) for pdu in bed.submitted())
    assert max(seconds.values()) <= 230
    bed.check_books()


async def test_when_one_of_two_ends_the_other_takes_all(bed: Bed) -> None:
    bed.run("UPDATE carriers SET max_binds = 2")
    first = await bed.start()
    await bed.bound(2)
    second = await bed.start()
    await bed.until(lambda: len(second.desks) == 1, "a share for the second")
    await bed.send([handset(n) for n in range(300)])
    first.stop()
    await bed.until(
        lambda: [len(desk.binds) for desk in second.desks.values()] == [2], "both binds"
    )
    await bed.settled(delivered=300)
    assert bed.taken_twice() == []


async def test_a_dispatcher_without_a_bind_takes_no_lanes(bed: Bed) -> None:
    await bed.start()
    await bed.bound()
    idle = await bed.start()
    await bed.send([handset(n) for n in range(100)])
    await bed.settled(delivered=100)
    assert not idle.desks


async def test_an_idle_lane_is_given_back_and_taken_again(bed: Bed) -> None:
    dispatcher = await bed.start()
    await bed.bound()
    await bed.send([handset(1)])
    await bed.settled(delivered=1)
    bed.run("UPDATE lanes SET active_until = now() - interval '1 minute'")
    await bed.until(
        lambda: bed.rows("SELECT owner FROM lanes") == [(None,)], "the lane is given back"
    )
    assert not next(iter(dispatcher.desks.values())).supply.lanes
    await bed.send([handset(2)])
    await bed.settled(4.0, delivered=2)


async def test_lanes_that_are_leased_but_not_served_are_served_at_the_next_renewal(
    bed: Bed,
) -> None:
    dispatcher = await bed.start()
    await bed.bound()
    await bed.send([handset(1)])
    await bed.settled(delivered=1)
    # As if the process had failed between the lease and the serving.
    desk = next(iter(dispatcher.desks.values()))
    desk.supply.lanes.clear()
    await bed.send([handset(2)])
    await bed.settled(5.0, delivered=2)
