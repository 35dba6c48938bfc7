"""Everything at once: dispatchers killed, connections cut, throttling, opt-outs, for a while."""

from __future__ import annotations

import asyncio
import os
import random

import psycopg
import pytest

from tests.dispatch.bed import Bed, handset
from tests.invariants.books import find_wrongs
from viesti.carriers.simulator.behaviour import Behaviour

# A soak sets it higher.
SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))


def cut_database(bed: Bed) -> None:
    with psycopg.connect(bed.settings.database_url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'viesti dispatch%'"
            " AND random() < 0.5"
        )


def look(bed: Bed) -> list[str]:
    """What is wrong with the books at this instant."""
    with psycopg.connect(bed.settings.database_url, autocommit=True) as conn:
        return find_wrongs(conn)


@pytest.mark.kill
@pytest.mark.slow
async def test_whatever_breaks_each_text_goes_once_or_is_held(bed: Bed) -> None:
    chance = random.Random(SEED)
    loop = asyncio.get_running_loop()
    bed.run('UPDATE carriers SET max_binds = 3, "window" = 20')
    accounts = [bed.account_id, *(bed.add_account() for _ in range(4))]
    for n, account in enumerate(accounts[1:]):
        bed.add_sender(f"+1202555013{n}", account_id=account)
    bed.simulator.network.knobs.response_delay_s = 0.02
    bed.behave(handset(7), Behaviour(answer="drop_before"))
    bed.behave(handset(8), Behaviour(receipts=("UNDELIV",)))
    running = [bed.spawn() for _ in range(3)]
    await bed.until(lambda: bool(bed.simulator.binds), "a bind")
    sent = 0
    next_blow_s = loop.time() + 1
    ends_s = loop.time() + SECONDS
    while loop.time() < ends_s:
        numbers = [handset(n) for n in chance.sample(range(200), 60)]
        # Each part says which text it is of.
        words = f"Text {sent} " * chance.choice([1, 35])
        await bed.send(numbers, words, account_id=chance.choice(accounts))
        sent += len(numbers)
        await asyncio.sleep(0.2)
        if loop.time() < next_blow_s:
            continue
        next_blow_s = loop.time() + chance.uniform(0.3, 2.0)
        assert await asyncio.to_thread(look, bed) == []
        match chance.choice(["kill", "kill", "database", "drop", "throttle", "free"]):
            case "kill":
                victim = running.pop(chance.randrange(len(running)))
                victim.kill()
                await asyncio.to_thread(victim.wait)
                running.append(bed.spawn())
            case "database":
                await asyncio.to_thread(cut_database, bed)
            case "drop":
                bed.simulator.drop_all()
            case "throttle":
                bed.simulator.network.faults.set_rate(100, "bind")
            case _:
                bed.simulator.network.faults.set_rate(0)
    bed.simulator.network.faults.set_rate(0)
    bed.behave(handset(7), Behaviour())
    await bed.until(lambda: "queued" not in bed.statuses(), "an end for each", 60)
    await asyncio.sleep(1)
    statuses = bed.statuses()
    assert sum(statuses.values()) == sent
    assert set(statuses) <= {"delivered", "held", "sent", "error"}
    assert statuses["delivered"] > sent * 0.8
    assert bed.taken_twice() == []
    # The ring of PDUs forgets; the count does not.
    assert bed.simulator.network.log.duplicates == 0
    bed.check_books()
