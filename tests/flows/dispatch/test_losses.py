"""Scenario 17 and its kin: connections, databases and processes that go away in mid-flow."""

from __future__ import annotations

import asyncio
import signal

import psycopg
import pytest

from tests.dispatch.bed import Bed, handset
from viesti.carriers.arrivals import Taken
from viesti.carriers.simulator.behaviour import Behaviour
from viesti.carriers.simulator.faults import DropPlan
from viesti.dispatch.loop import Dispatcher
from viesti.domain.senders.service import PASSWORD_PURPOSE
from viesti.inbound.sweeps import rematch_early
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id


def ended(bed: Bed, count: int) -> bool:
    """Every text is delivered, or is held and was started but never written.

    Held texts that the SMSC did take are settled by their receipts; those that came before the
    take-over by the sweep of the ``work`` role.
    """
    with bed.pool.connection() as conn:
        rematch_early(conn, utc_now())
    statuses = bed.statuses()
    if statuses.get("delivered", 0) + statuses.get("held", 0) != count:
        return False
    held = {row[0][1:] for row in bed.rows("SELECT mobile FROM messages WHERE status = 'held'")}
    return held.isdisjoint(pdu.destination for pdu in bed.submitted())


async def test_a_drop_before_the_answers_repeats_nothing_and_receipts_settle_it(bed: Bed) -> None:
    await bed.start()
    await bed.bound()
    bed.simulator.plan_drop(DropPlan("before_answer", after=300, taken=True))
    numbers = [handset(n) for n in range(1_000)]
    await bed.send(numbers)
    # Those that the SMSC took before the cut get their receipts after the rebind: each settles
    # its held text, since it is the only one to its number.
    await bed.settled(delivered=1_000)
    assert len(bed.simulator.binds) == 1
    assert bed.taken_twice() == []
    bed.check_books()


async def test_what_the_carrier_never_took_stays_held_and_is_not_sent_again(bed: Bed) -> None:
    await bed.start()
    await bed.bound()
    for number in (3, 4):
        bed.behave(handset(number), Behaviour(answer="none", receipts=()))
    await bed.send([handset(n) for n in range(200)])
    await bed.settled(delivered=198, queued=2)
    bed.simulator.drop_all()
    await bed.settled(delivered=198, held=2)
    await bed.bound()
    await asyncio.sleep(0.5)
    assert bed.taken_twice() == []
    assert bed.statuses() == {"delivered": 198, "held": 2}
    bed.check_books()


async def test_texts_wait_for_a_carrier_that_is_away_and_then_go_once(bed: Bed) -> None:
    await bed.start()
    await bed.bound()
    await bed.simulator.stop_listening()
    bed.simulator.drop_all()
    await bed.send([handset(n) for n in range(300)])
    await asyncio.sleep(1.5)
    assert bed.statuses() == {"queued": 300}
    assert bed.rows("SELECT bound_at IS NULL, last_error <> '' FROM binds") == [(True, True)]
    await bed.simulator.listen_again()
    await bed.settled(delivered=300)
    assert bed.taken_twice() == []


async def test_a_restart_of_the_database_in_mid_flow_loses_and_repeats_nothing(bed: Bed) -> None:
    await bed.start()
    await bed.bound()
    numbers = [handset(n) for n in range(1_500)]
    await bed.send(numbers)

    def cut() -> None:
        with psycopg.connect(bed.settings.database_url, autocommit=True) as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND backend_type = 'client backend'"
                " AND pid <> pg_backend_pid()"
            )

    for _ in range(4):
        await asyncio.sleep(0.15)
        await asyncio.to_thread(cut)
    await bed.until(lambda: _delivered(bed) == 1_500, "all delivered")
    assert bed.taken_twice() == []
    bed.check_books()


def _delivered(bed: Bed) -> int:
    try:
        return bed.statuses().get("delivered", 0)
    except psycopg.OperationalError:
        return 0  # this connection was among those that were cut


async def test_a_lost_presence_is_won_back_and_nothing_is_held(bed: Bed) -> None:
    await bed.start()
    await bed.bound()
    await bed.send([handset(n) for n in range(50)])
    await bed.settled(delivered=50)
    bed.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'viesti dispatch leases'"
    )
    await bed.send([handset(n) for n in range(50)])
    await bed.settled(delivered=100)
    assert len(bed.simulator.binds) == 1
    assert bed.taken_twice() == []


async def test_a_clean_end_leaves_nothing_held(bed: Bed) -> None:
    bed.simulator.network.knobs.response_delay_s = 0.3
    await bed.start()
    await bed.bound()
    await bed.send([handset(n) for n in range(500)])
    await bed.until(lambda: len(bed.submitted()) >= 100, "a full window")
    await bed.stop()
    statuses = bed.statuses()
    assert "held" not in statuses
    assert statuses["queued"] > 0
    assert bed.rows("SELECT count(*) FROM dispatch_queue WHERE started <> answered") == [(0,)]
    assert bed.rows("SELECT count(*) FROM lanes WHERE owner IS NOT NULL") == [(0,)]
    assert bed.rows("SELECT count(*) FROM binds WHERE owner IS NOT NULL") == [(0,)]
    bed.simulator.network.knobs.response_delay_s = 0.0
    await bed.start()
    await bed.settled(delivered=500)
    assert bed.taken_twice() == []
    bed.check_books()


async def test_a_new_password_binds_anew_without_holding_anything(bed: Bed) -> None:
    await bed.start()
    await bed.bound()
    old = bed.simulator.binds[0]
    await bed.send([handset(n) for n in range(300)])
    bed.run(
        'UPDATE carriers SET settings = settings || \'{"system_id": "second"}\','
        " secret_encrypted = %s",
        bed.key.encrypt(PASSWORD_PURPOSE, b"secret"),
    )
    await bed.settled(delivered=300)
    await bed.until(
        lambda: [bind.system_id for bind in bed.simulator.binds] == ["second"], "the new bind"
    )
    assert old not in bed.simulator.binds
    await bed.send([handset(n) for n in range(300, 310)])
    await bed.settled(delivered=310)
    assert bed.taken_twice() == []


async def test_a_part_that_fails_for_no_known_reason_ends_the_dispatcher_aloud(bed: Bed) -> None:
    def broken(*_: object) -> Taken:
        raise KeyError("a bug")

    dispatcher = Dispatcher(bed.settings, bed.key, bed.pool, new_id(), broken, lambda _: None)
    running = asyncio.create_task(dispatcher.run())
    await bed.bound()
    await bed.send([handset(1)])
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(running, 20)
    # It has let go of everything, for whoever is started in its place.
    assert bed.rows("SELECT count(*) FROM binds WHERE owner IS NOT NULL") == [(0,)]
    assert bed.rows("SELECT count(*) FROM lanes WHERE owner IS NOT NULL") == [(0,)]
    await bed.start()
    await bed.settled(delivered=1)
    assert bed.taken_twice() == []


async def test_a_carrier_that_cannot_be_read_does_not_stop_the_others(bed: Bed) -> None:
    bed.add_carrier("broken", "second")
    bed.run("UPDATE carriers SET settings = '{}' WHERE name = 'broken'")
    await bed.start()
    await bed.send([handset(1)])
    await bed.settled(delivered=1)


@pytest.mark.kill
async def test_a_killed_dispatcher_is_taken_over_and_nothing_goes_twice(bed: Bed) -> None:
    bed.simulator.network.knobs.response_delay_s = 0.05
    first = bed.spawn()
    await bed.bound()
    await bed.send([handset(n) for n in range(1_000)])
    await bed.until(lambda: len(bed.submitted()) >= 300, "a flow")
    first.kill()
    await asyncio.to_thread(first.wait)
    second = bed.spawn()
    await bed.until(lambda: ended(bed, 1_000), "an end for each", 30)
    assert bed.taken_twice() == []
    bed.check_books()
    second.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(second.wait, 20) == 0


@pytest.mark.kill
async def test_a_standing_dispatcher_takes_over_from_a_killed_one_at_once(bed: Bed) -> None:
    bed.simulator.network.knobs.response_delay_s = 0.05
    first = bed.spawn()
    await bed.bound()
    second = bed.spawn()
    await asyncio.sleep(1.5)
    await bed.send([handset(n) for n in range(1_000)])
    await bed.until(lambda: len(bed.submitted()) >= 300, "a flow")
    first.kill()
    # Far sooner than its leases of ten seconds would end.
    await bed.until(lambda: ended(bed, 1_000), "an end for each", 8)
    assert bed.taken_twice() == []
    assert second.poll() is None
    bed.check_books()


@pytest.mark.kill
async def test_a_dispatcher_whose_database_is_gone_ends_when_told(bed: Bed) -> None:
    process = bed.spawn()
    await bed.bound()
    database = psycopg.conninfo.conninfo_to_dict(bed.settings.database_url)["dbname"]
    bed.pool.close()
    with psycopg.connect(bed.settings.database_url, autocommit=True) as conn:
        conn.execute(f'ALTER DATABASE "{database}" CONNECTION LIMIT 0'.encode())
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend'"
            " AND pid <> pg_backend_pid()"
        )
    await asyncio.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(process.wait, 15)
