"""Who may write to which carrier, among dispatchers that live, die and pause."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from uuid import UUID

import psycopg
import pytest

from tests.messaging_rig import Rig
from viesti.dispatch import leases
from viesti.dispatch.leases import BindLease
from viesti.kit.ids import new_id


class Peer:
    """A dispatcher as the lease tables see it: an id, and a connection that proves its life."""

    def __init__(self, dsn: str) -> None:
        self.me = new_id()
        self.conn = psycopg.connect(dsn)
        leases.announce(self.conn, self.me)
        self.conn.commit()

    def binds(self) -> list[BindLease]:
        with self.conn.transaction():
            return leases.take_binds(self.conn, self.me)

    def lanes(self, rig: Rig, *hinted: UUID, limit: int = 100) -> set[UUID]:
        with self.conn.transaction():
            found = leases.take_lanes(self.conn, self.me, [rig.carrier_id], hinted, limit)
        return {lease.lane_id for lease in found}

    def renew(self, *busy: UUID) -> leases.Renewed:
        with self.conn.transaction():
            return leases.renew(self.conn, self.me, busy)

    def excess_binds(self) -> list[BindLease]:
        with self.conn.transaction():
            return leases.find_excess_binds(self.conn, self.me)

    def shares(self, rig: Rig) -> dict[UUID, int]:
        with self.conn.transaction():
            return leases.find_lane_shares(self.conn, self.me, [rig.carrier_id])

    def die(self) -> None:
        self.conn.close()


MakePeer = Callable[[], Peer]


@pytest.fixture
def peer(dsn: str) -> Generator[MakePeer]:
    made: list[Peer] = []

    def make() -> Peer:
        made.append(Peer(dsn))
        return made[-1]

    yield make
    for one in made:
        one.die()


@pytest.fixture
def lanes(rig: Rig) -> list[UUID]:
    """Four lanes with texts waiting."""
    with rig.pool.connection() as conn:
        found = [rig.lane_id, *(rig.add_sender(conn, f"+1202555010{n}") for n in range(3))]
        conn.execute("UPDATE lanes SET active_until = now() + interval '5 minutes'")
    return found


def set_binds(rig: Rig, count: int) -> None:
    rig.run("UPDATE carriers SET max_binds = %s", count)


def test_a_lone_dispatcher_takes_every_slot(rig: Rig, peer: MakePeer) -> None:
    set_binds(rig, 3)
    one = peer()
    assert set(one.binds()) == {BindLease(rig.carrier_id, slot) for slot in range(3)}
    assert one.binds() == []


def test_two_dispatchers_that_start_together_share_the_slots(rig: Rig, peer: MakePeer) -> None:
    set_binds(rig, 3)
    one, two = peer(), peer()
    assert len(one.binds()) == 2
    assert len(two.binds()) == 1
    assert one.binds() == two.binds() == []
    assert one.excess_binds() == []


def test_a_later_dispatcher_gets_what_is_above_the_share_of_the_first(
    rig: Rig, peer: MakePeer
) -> None:
    set_binds(rig, 2)
    one = peer()
    one.binds()
    two = peer()
    assert two.binds() == []
    (excess,) = one.excess_binds()
    with one.conn.transaction():
        leases.give_back_binds(one.conn, one.me, [excess])
    assert one.binds() == []
    assert two.binds() == [excess]


def test_a_slot_beyond_the_number_is_not_taken(rig: Rig, peer: MakePeer) -> None:
    set_binds(rig, 3)
    peer().binds()
    rig.run("UPDATE binds SET owner = NULL")
    set_binds(rig, 1)
    assert [lease.slot for lease in peer().binds()] == [0]


def test_a_disabled_carrier_is_left_alone(rig: Rig, peer: MakePeer) -> None:
    rig.run("UPDATE carriers SET enabled = false")
    assert peer().binds() == []


def test_a_dead_dispatchers_leases_are_free_at_once(
    rig: Rig, lanes: list[UUID], peer: MakePeer
) -> None:
    one = peer()
    one.binds()
    assert one.lanes(rig) == set(lanes)
    one.die()
    two = peer()
    _until(lambda: bool(two.binds()))
    assert two.lanes(rig) == set(lanes)


def test_a_living_ones_are_not(rig: Rig, lanes: list[UUID], peer: MakePeer) -> None:
    one, two = peer(), peer()
    one.binds()
    one.lanes(rig)
    two.binds()
    assert two.lanes(rig) == set()


def test_leases_that_were_not_renewed_end(rig: Rig, lanes: list[UUID], peer: MakePeer) -> None:
    one, two = peer(), peer()
    one.binds()
    one.lanes(rig)
    rig.run("UPDATE lanes SET lease_until = now() - interval '1 second'")
    rig.run("UPDATE binds SET lease_until = now() - interval '1 second'")
    assert two.binds() == [BindLease(rig.carrier_id, 0)]
    taken = two.lanes(rig)
    assert taken
    renewed = one.renew()
    assert renewed.binds == set()
    assert set(renewed.lanes) == set(lanes) - taken


def test_the_lock_of_a_dispatcher_on_another_database_counts_for_nothing(
    rig: Rig, peer: MakePeer, empty_dsn: str
) -> None:
    set_binds(rig, 2)
    with psycopg.connect(empty_dsn) as other:
        leases.announce(other, new_id())
        assert len(peer().binds()) == 2


def test_presence_can_be_announced_while_an_earlier_connection_lingers(
    rig: Rig, peer: MakePeer, dsn: str
) -> None:
    set_binds(rig, 2)
    one = peer()
    with psycopg.connect(dsn) as again:
        again.execute("SET lock_timeout = '1s'")
        leases.announce(again, one.me)
        # It still is one dispatcher.
        assert len(one.binds()) == 2


def test_renewal_keeps_busy_lanes_marked_and_tells_new_rates(
    rig: Rig, lanes: list[UUID], peer: MakePeer
) -> None:
    one = peer()
    one.binds()
    one.lanes(rig)
    rig.run("UPDATE lanes SET active_until = now() + interval '1 second'")
    rig.run("UPDATE senders SET rate_per_s = 7 WHERE id = %s", lanes[0])
    renewed = one.renew(lanes[0])
    assert renewed.binds == {BindLease(rig.carrier_id, 0)}
    assert renewed.lanes[lanes[0]].rate_per_s == 7
    marked = rig.rows("SELECT sender_id FROM lanes WHERE active_until > now() + interval '30 s'")
    assert marked == [(lanes[0],)]


def test_a_send_that_holds_a_lanes_row_keeps_nobody_from_renewing(
    rig: Rig, lanes: list[UUID], peer: MakePeer, dsn: str
) -> None:
    one = peer()
    one.binds()
    one.lanes(rig)
    rig.run("UPDATE lanes SET lease_until = now() + interval '3 s'")
    with psycopg.connect(dsn) as send:
        send.execute("SELECT 1 FROM lanes WHERE sender_id = %s FOR UPDATE", (lanes[0],))
        one.conn.execute("SET lock_timeout = '1s'")
        one.conn.commit()
        assert set(one.renew().lanes) == set(lanes)
        with one.conn.transaction():
            assert leases.give_back_lanes(one.conn, one.me, lanes[:2]) == [lanes[0]]
    renewed = rig.rows("SELECT sender_id FROM lanes WHERE lease_until > now() + interval '5 s'")
    assert {row[0] for row in renewed} == set(lanes[2:])


def test_an_idle_lane_is_taken_only_on_a_hint(rig: Rig, lanes: list[UUID], peer: MakePeer) -> None:
    rig.run("UPDATE lanes SET active_until = NULL")
    one = peer()
    one.binds()
    assert one.lanes(rig) == set()
    assert one.lanes(rig, lanes[2]) == {lanes[2]}


def test_lanes_are_shared_among_those_that_hold_a_bind(
    rig: Rig, lanes: list[UUID], peer: MakePeer
) -> None:
    set_binds(rig, 2)
    one, two = peer(), peer()
    one.binds()
    two.binds()
    first = one.lanes(rig)
    assert len(first) == 2
    assert two.lanes(rig) == set(lanes) - first
    assert one.shares(rig) == two.shares(rig) == {}


def test_a_second_bind_holder_makes_the_first_give_lanes_back(
    rig: Rig, lanes: list[UUID], peer: MakePeer
) -> None:
    set_binds(rig, 2)
    one = peer()
    one.binds()
    assert one.lanes(rig) == set(lanes)
    assert one.shares(rig) == {}
    two = peer()
    with one.conn.transaction():
        leases.give_back_binds(one.conn, one.me, [BindLease(rig.carrier_id, 1)])
    two.binds()
    assert one.shares(rig) == {rig.carrier_id: 2}


def test_a_clean_end_frees_everything(rig: Rig, lanes: list[UUID], peer: MakePeer) -> None:
    one, two = peer(), peer()
    one.binds()
    one.lanes(rig)
    with one.conn.transaction():
        leases.give_back_all(one.conn, one.me)
    assert two.binds()
    assert two.lanes(rig)


def test_however_many_grab_at_once_nothing_has_two_owners(rig: Rig, peer: MakePeer) -> None:
    with rig.pool.connection() as conn:
        for n in range(20):
            rig.add_sender(conn, f"+1202555{100 + n:04d}")
        conn.execute("UPDATE lanes SET active_until = now() + interval '5 minutes'")
    set_binds(rig, 8)
    peers = [peer() for _ in range(4)]
    taken: list[tuple[Peer, object]] = []
    errors: list[Exception] = []
    barrier = threading.Barrier(len(peers))

    def grab(one: Peer) -> None:
        try:
            for _ in range(10):
                barrier.wait(10)
                taken.extend((one, lease) for lease in one.binds())
                taken.extend((one, lane) for lane in one.lanes(rig, limit=7))
        except Exception as error:  # noqa: BLE001
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=grab, args=(one,)) for one in peers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    things = [thing for _, thing in taken]
    assert len(things) == len(set(things)) == 8 + 21
    for one in peers:
        assert (
            sum(1 for owner, thing in taken if owner is one and isinstance(thing, BindLease)) == 2
        )


def _until(look: Callable[[], bool]) -> None:
    for _ in range(100):
        if look():
            return
        threading.Event().wait(0.02)
    raise AssertionError("did not come about")
