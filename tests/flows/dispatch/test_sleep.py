"""A dispatcher that sleeps past its lease in mid-flow: the machine was suspended, say."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.dispatch.bed import Bed, handset
from viesti.db.connections import TRANSACTION_LIMIT_S
from viesti.dispatch.settings import LEASE_S
from viesti.inbound.sweeps import rematch_early
from viesti.kit.clock import utc_now

TEXTS = 4_000


@pytest.mark.kill
@pytest.mark.slow
async def test_who_wakes_after_its_lease_has_ended_sends_nothing_a_second_time(bed: Bed) -> None:
    """By turns one of two sleeps until the other has its lanes, and then goes on."""
    bed.simulator.network.knobs.response_delay_s = 0.02
    bed.run("UPDATE senders SET rate_per_s = 200")
    sleeper = bed.spawn()
    await bed.bound()
    other = bed.spawn()
    await bed.send([handset(n) for n in range(TEXTS)])
    await bed.until(lambda: len(bed.submitted()) > 200, "a flow")
    for _ in range(2):
        before = bed.simulator.network.log.taken
        sleeper.send_signal(signal.SIGSTOP)
        # Its connection stands and its lock is held: only the end of its lease frees its lanes,
        # and what it had locked in a transaction is free when the server ends that.
        await bed.until(
            lambda before=before: bed.simulator.network.log.taken > before + 300,
            "a take-over",
            LEASE_S * 3 + TRANSACTION_LIMIT_S,
        )
        sleeper.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.5)
        sleeper, other = other, sleeper

    def is_over() -> bool:
        with bed.pool.connection() as conn:
            rematch_early(conn, utc_now())
        statuses = bed.statuses()
        return set(statuses) <= {"delivered", "held"} and (
            statuses.get("delivered", 0) == bed.simulator.network.log.taken
        )

    bed.run("UPDATE senders SET rate_per_s = 0")
    await bed.until(is_over, "an end for each", 40)
    print(f"\n{bed.statuses()}")
    assert bed.taken_twice() == []
    assert bed.simulator.network.log.duplicates == 0
    # What was under way when one fell asleep, twice.
    assert bed.statuses().get("held", 0) <= 400
    bed.check_books()
