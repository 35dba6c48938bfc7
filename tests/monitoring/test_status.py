"""What a look at the platform says, against a database in which it was made to be true."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.messaging_rig import HANDSET, Rig
from viesti.carriers.base import ReceiptState, Verdict
from viesti.db.traffic import forget_stale_traffic, forget_traffic, report_traffic
from viesti.domain.accounts.service import create_account
from viesti.domain.contacts.models import ContactInput
from viesti.domain.messages.models import SendRequest
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id
from viesti.monitoring import deliveries, texts
from viesti.monitoring.models import Lane, Status
from viesti.monitoring.status import LANES_SHOWN, read_status

Pool = ConnectionPool[psycopg.Connection]


@pytest.fixture
def rig(pool: Pool) -> Rig:
    return Rig(pool).set_up(balance_micros=10**9)


def look(rig: Rig, later_s: float = 0.0) -> Status:
    with rig.pool.connection() as conn:
        return read_status(conn, utc_now() + timedelta(seconds=later_s))


def lane_of(status: Status, lane_id: UUID) -> Lane:
    return next(lane for lane in status.lanes if lane.id == lane_id)


def send_many(rig: Rig, count: int) -> None:
    numbers = [f"+1347555{number:04d}" for number in range(count)]
    rig._send(SendRequest(contacts=[ContactInput(mobile=n) for n in numbers], template="Hello"))


def queue_row(rig: Rig, lane: UUID, many: int, *, started: int = 0, due_s: float = -10) -> None:
    rig.run(
        "INSERT INTO dispatch_queue (account_id, message_id, lane_id, mobile, priority, not_before,"
        " segments, started) SELECT %s, gen_random_uuid(), %s, '+13475550000', i %% 2, %s, 1, %s"
        " FROM generate_series(1, %s) i",
        *(rig.account_id, lane, utc_now() + timedelta(seconds=due_s), started, many),
    )


def test_an_empty_platform_has_a_status(conn: psycopg.Connection) -> None:
    status = read_status(conn, utc_now())
    assert (status.queue.total, status.parked.held, status.accepted.outgoing_per_s) == (0, 0, 0)
    assert (list(status.carriers), list(status.lanes), status.strays) == ([], [], 0)
    assert status.queue.oldest_s is None
    assert dict(status.errors.by_code) == {}


def test_texts_are_counted_where_they_are(rig: Rig) -> None:
    send_many(rig, 5)
    out = rig.read(priority=0) or rig.read(priority=1)
    assert rig.start(out[0])
    rig.answer([(out[0], 0, Verdict.ACCEPTED, "a")])
    assert rig.start(out[1])
    rig.hold(mobile=HANDSET)
    status = look(rig, later_s=30)
    carrier = status.carriers[0]
    for queue in (status.queue, carrier.queue, lane_of(status, rig.lane_id).queue):
        assert (queue.waiting, queue.in_flight, queue.later) == (3, 1, 0)
        assert queue.is_exact
        assert queue.oldest_s == pytest.approx(30, abs=5)
    for parked in (status.parked, carrier.parked, lane_of(status, rig.lane_id).parked):
        assert (parked.held, parked.no_credit) == (1, 0)
        assert parked.oldest_held_s == pytest.approx(30, abs=5)
    assert status.lanes_busy == 1
    assert (carrier.lanes, carrier.lanes_leased, carrier.bound) == (1, 0, 0)


def test_a_text_that_waits_for_its_time_is_not_late(rig: Rig) -> None:
    queue_row(rig, rig.lane_id, 2, due_s=3600)
    queue = look(rig).queue
    assert (queue.waiting, queue.later, queue.oldest_s) == (0, 2, None)


def test_what_waits_for_credit_is_parked(pool: Pool) -> None:
    poor = Rig(pool).set_up(balance_micros=0)
    poor.send_one()
    status = look(poor)
    assert (status.parked.no_credit, status.parked.held, status.queue.total) == (1, 0, 0)
    assert lane_of(status, poor.lane_id).parked.no_credit == 1


def test_rates_are_those_of_the_last_minute(rig: Rig) -> None:
    send_many(rig, 6)
    rig.text("Hi")
    status = look(rig)
    assert status.accepted.outgoing_per_s == pytest.approx(0.1)
    assert status.accepted.incoming_per_s == pytest.approx(1 / 60)
    assert lane_of(status, rig.lane_id).accepted_per_s == pytest.approx(0.1)
    after = look(rig, later_s=90)
    assert after.accepted.outgoing_per_s == 0
    assert after.errors.texts == 6


def test_errors_are_those_of_the_last_hour_by_code(rig: Rig) -> None:
    rig.submit("a")
    rig.submit("b", text="Other")
    rig.receipt("a", ReceiptState.UNDELIVERABLE)
    rig.receipt("b")
    errors = look(rig).errors
    assert (dict(errors.by_code), errors.texts) == ({"MSG-019": 1}, 2)
    assert (errors.window_s, errors.is_exact) == (3600, True)
    assert dict(look(rig, later_s=3700).errors.by_code) == {}


def test_many_recent_texts_shorten_the_window(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    send_many(rig, 8)
    monkeypatch.setattr(texts, "MOST_RECENT", 5)
    crowded = look(rig)
    assert (crowded.errors.is_exact, crowded.accepted.is_exact) == (False, False)
    assert crowded.accepted.outgoing_per_s > 0
    calm = look(rig, later_s=700)
    assert (calm.errors.window_s, calm.errors.is_exact) == (600, True)


def test_a_long_queue_is_estimated(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with rig.pool.connection() as conn:
        small = rig.add_sender(conn, "+13475550102")
    queue_row(rig, rig.lane_id, 3000)
    queue_row(rig, rig.lane_id, 7, started=1, due_s=-20)
    queue_row(rig, small, 4, due_s=-500)
    monkeypatch.setattr(texts, "MOST_QUEUED", 1000)
    monkeypatch.setattr(texts, "SAMPLE_BLOCKS", 20)
    status = look(rig)
    assert not status.queue.is_exact
    assert 1500 < status.queue.waiting < 6000
    assert status.queue.in_flight == 7
    assert status.queue.oldest_s == pytest.approx(500, abs=5)
    assert [lane.id for lane in status.lanes] == [rig.lane_id, small]


def test_the_busiest_lanes_are_shown_and_all_are_counted(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        lanes = [rig.add_sender(conn, f"+1347555{place:04d}") for place in range(200, 230)]
    for place, lane in enumerate(lanes):
        queue_row(rig, lane, place + 1)
    status = look(rig)
    assert status.lanes_busy == 30
    assert [lane.queue.waiting for lane in status.lanes] == list(range(30, 30 - LANES_SHOWN, -1))
    assert status.queue.waiting == sum(range(1, 31))
    assert status.carriers[0].lanes == 31


def test_parked_texts_are_counted_up_to_a_bound(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        rig.hold(mobile=f"+1347555019{number}")
    monkeypatch.setattr(texts, "MOST_PARKED", 2)
    parked = look(rig).parked
    assert (parked.held, parked.is_exact) == (3, False)


def test_a_bind_counts_while_its_lease_holds(rig: Rig) -> None:
    process, gone = new_id(), new_id()
    now = utc_now()
    rig.run(
        "INSERT INTO processes (id, role, host, pid, version, started_at, seen_at)"
        " VALUES (%s, 'dispatch', 'box', 7, '1', %s, %s), (%s, 'work', 'box', 8, '1', %s, %s)",
        *(process, now, now, gone, now, now - timedelta(minutes=1)),
    )
    rig.run("UPDATE carriers SET max_binds = 2")
    rig.run(
        "INSERT INTO binds (carrier_id, slot, owner, lease_until, bound_at, last_error) VALUES"
        " (%s, 0, %s, now() + interval '9 s', now(), ''),"
        " (%s, 1, %s, now() - interval '9 s', now(), 'connection lost')",
        *(rig.carrier_id, process, rig.carrier_id, gone),
    )
    rig.run(
        "UPDATE lanes SET owner = %s, lease_until = now() + interval '9 s'",
        process,
    )
    status = look(rig)
    carrier = status.carriers[0]
    assert (carrier.bound, carrier.max_binds, carrier.last_error) == (1, 2, "connection lost")
    assert [bind.process for bind in carrier.binds] == ["dispatch box:7", None]
    assert carrier.lanes_leased == 1
    assert [(one.role, one.is_alive) for one in status.processes] == [
        ("dispatch", True),
        ("work", False),
    ]


def test_traffic_is_the_sum_of_what_living_dispatchers_report(rig: Rig) -> None:
    now = utc_now()
    one, two, stale = new_id(), new_id(), new_id()
    with rig.pool.connection() as conn:
        report_traffic(conn, one, {rig.carrier_id: {"submitted": 1}}, now)
        report_traffic(conn, one, {rig.carrier_id: {"submitted": 2.5, "receipts": 1}}, now)
        report_traffic(conn, two, {rig.carrier_id: {"submitted": 2}, uuid4(): {"inbound": 1}}, now)
        report_traffic(conn, stale, {rig.carrier_id: {"submitted": 9}}, now - timedelta(minutes=9))
    per_s = look(rig).carriers[0].per_s
    assert (per_s["submitted"], per_s["receipts"], per_s["refused"]) == (4.5, 1, 0)
    with rig.pool.connection() as conn:
        forget_traffic(conn, one)
        forget_stale_traffic(conn, now - timedelta(minutes=5))
    assert look(rig).carriers[0].per_s["submitted"] == 2
    kept = rig.rows("SELECT count(*) FROM platform WHERE starts_with(key, 'traffic.')")
    assert kept == [(1,)]


def test_webhooks_show_what_is_due_and_who_fails(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.send_one()
    rig.submit("a", text="Other")
    due = rig.rows("SELECT count(*) FROM webhook_deliveries")[0][0]
    assert due > 1
    hooks = look(rig, later_s=20).webhooks
    assert (hooks.endpoints, hooks.due, hooks.retrying, hooks.failing_count) == (1, due, 0, 0)
    assert hooks.oldest_s == pytest.approx(20, abs=5)
    rig.run(
        "UPDATE webhook_deliveries SET attempts = 3 WHERE id = (SELECT min(id::text)::uuid FROM"
        " webhook_deliveries)"
    )
    rig.run(
        "UPDATE webhook_deliveries SET state = 'dead' WHERE attempts = 0 AND id ="
        " (SELECT max(id::text)::uuid FROM webhook_deliveries)"
    )
    hooks = look(rig).webhooks
    assert (hooks.due, hooks.retrying, hooks.dead, hooks.failing_count) == (due - 1, 1, 1, 1)
    assert [(one.account_id, one.attempts) for one in hooks.failing] == [(rig.account_id, 3)]
    monkeypatch.setattr(deliveries, "MOST_DELIVERIES", 1)
    assert not look(rig).webhooks.is_exact


def test_a_look_changes_nothing_and_bounds_its_statements(rig: Rig) -> None:
    send_many(rig, 3)
    with rig.pool.connection() as conn:
        conn.read_only = True
        read_status(conn, utc_now())
        limit = conn.execute("SELECT current_setting('statement_timeout')").fetchone()
        assert limit == ("5s",)
        conn.commit()
        after = conn.execute("SELECT current_setting('statement_timeout')").fetchone()
        assert after == ("30s",)
        conn.commit()
        conn.read_only = None


def test_accounts_of_all_tenants_are_looked_at(rig: Rig, pool: Pool) -> None:
    other = Rig(pool)
    with pool.connection() as conn:
        other.account_id = create_account(
            conn, name="Other", balance_micros=10**9, now=utc_now()
        ).id
        other.carrier_id = rig.carrier_id
        other.lane_id = other.add_sender(conn, "+13475550109")
    rig.send_one()
    other.send_one()
    status = look(rig)
    assert status.queue.waiting == 2
    assert {lane.account_name for lane in status.lanes} == {"Acme", "Other"}
