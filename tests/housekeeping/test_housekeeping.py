"""What is past its time goes, in bounded pieces, by one process at a time; the rest stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from viesti.db.heartbeat import Heartbeat
from viesti.db.singleton import hold, let_go
from viesti.housekeeping import retention
from viesti.housekeeping.retention import retention_jobs
from viesti.housekeeping.schedule import Housekeeper, periodic
from viesti.kit.config import Settings
from viesti.kit.ids import bound_at, new_id

Pool = ConnectionPool[psycopg.Connection]
NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
ACCOUNT = new_id()


@pytest.fixture
def account(pool: Pool) -> None:
    with pool.connection() as conn:
        conn.execute(
            "INSERT INTO accounts (id, name, created_at) VALUES (%s, 'a', %s)", (ACCOUNT, NOW)
        )


def keep_house(pool: Pool, settings: Settings) -> None:
    Housekeeper(pool, retention_jobs(settings), new_id(), now=lambda: NOW).run_due()


def ages(pool: Pool, statement: str) -> list[Any]:
    with pool.connection() as conn:
        return [row[0] for row in conn.execute(statement.encode())]


# Table, its age at which rows go, and an INSERT that takes account, id and time.
TABLES: list[tuple[str, timedelta, str]] = [
    (
        "events",
        timedelta(days=30),
        "INSERT INTO events (account_id, id, type, facts, created_at)"
        " VALUES (%(account)s, %(old_id)s, 'message-sent', '{}', %(at)s)",
    ),
    (
        "webhook_attempts",
        timedelta(days=30),
        "INSERT INTO webhook_attempts (account_id, id, webhook_id, event_id, attempt,"
        " duration_ms, at) VALUES (%(account)s, %(old_id)s, %(id)s, %(id)s, 1, 1, %(at)s)",
    ),
    (
        "idempotency_keys",
        timedelta(hours=24),
        "INSERT INTO idempotency_keys (account_id, credential_id, operation, key, body_hash,"
        " created_at) VALUES (%(account)s, %(id)s, 'send', 'k', '', %(at)s)",
    ),
    (
        "recent_texts",
        timedelta(minutes=30),
        "INSERT INTO recent_texts (account_id, mobile, text_hash, sent_at)"
        " VALUES (%(account)s, %(id)s, '', %(at)s)",
    ),
    (
        "inbound_seen",
        timedelta(hours=1),
        "INSERT INTO inbound_seen (account_id, id, sender_id, mobile, payload_hash, session_id,"
        " received_at) VALUES (%(account)s, %(id)s, %(id)s, '', '', %(id)s, %(at)s)",
    ),
    (
        "list_prompts",
        timedelta(hours=24),
        "INSERT INTO list_prompts (account_id, contact_id, list_id, asked_at)"
        " VALUES (%(account)s, %(id)s, %(id)s, %(at)s)",
    ),
    (
        "message_segments",
        timedelta(days=7),
        "INSERT INTO message_segments (account_id, carrier_id, carrier_message_id, mobile,"
        " created_at) VALUES (%(account)s, %(id)s, 'x', '', %(at)s)",
    ),
    (
        "auth_failures",
        timedelta(days=1),
        "INSERT INTO auth_failures (subject, failures, window_started_at)"
        " VALUES (%(id)s, 1, %(at)s)",
    ),
    (
        "processes",
        timedelta(minutes=5),
        "INSERT INTO processes (id, role, host, pid, version, started_at, seen_at)"
        " VALUES (%(id)s, 'api', '', 1, '', %(at)s, %(at)s)",
    ),
]


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(("table", "kept", "insert"), TABLES, ids=[row[0] for row in TABLES])
def test_rows_go_when_their_time_is_over_and_not_before(
    pool: Pool, settings: Settings, table: str, kept: timedelta, insert: str
) -> None:
    with pool.connection() as conn:
        for age in (kept + timedelta(minutes=1), kept - timedelta(minutes=1)):
            conn.execute(
                insert.encode(),
                {
                    "account": ACCOUNT,
                    "id": new_id(),
                    "old_id": bound_at(NOW - age),
                    "at": NOW - age,
                },
            )
    keep_house(pool, settings)
    assert ages(pool, f"SELECT count(*) FROM {table}") == [1]


@pytest.mark.usefixtures("account")
def test_a_matched_receipt_is_kept(pool: Pool, settings: Settings) -> None:
    with pool.connection() as conn:
        conn.execute(
            "INSERT INTO message_segments (account_id, carrier_id, carrier_message_id, message_id,"
            " mobile, created_at) VALUES (%s, %s, 'x', %s, '', %s)",
            (ACCOUNT, new_id(), new_id(), NOW - timedelta(days=400)),
        )
    keep_house(pool, settings)
    assert ages(pool, "SELECT count(*) FROM message_segments") == [1]


@pytest.mark.usefixtures("account")
def test_more_rows_than_one_piece_takes_go_in_several(
    pool: Pool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 10)
    with pool.connection() as conn:
        conn.cursor().executemany(
            "INSERT INTO recent_texts (account_id, mobile, text_hash, sent_at)"
            " VALUES (%s, %s, '', %s)",
            [(ACCOUNT, str(n), NOW - timedelta(hours=1)) for n in range(95)],
        )
    keep_house(pool, settings)
    assert ages(pool, "SELECT count(*) FROM recent_texts") == [0]


@pytest.mark.usefixtures("account")
def test_deliveries_end_with_their_age_or_their_webhook(pool: Pool, settings: Settings) -> None:
    live, disabled, removed = new_id(), new_id(), new_id()
    old = NOW - timedelta(hours=97)
    with pool.connection() as conn:
        for webhook, disabled_at in ((live, None), (disabled, NOW)):
            conn.execute(
                "INSERT INTO webhooks (account_id, id, url, event_types, secret_encrypted,"
                " created_at, updated_at, disabled_at) VALUES (%s, %s, %s, '{}', '', %s, %s, %s)",
                (ACCOUNT, webhook, str(webhook), NOW, NOW, disabled_at),
            )
        rows = [
            (live, NOW - timedelta(hours=1), "due"),
            (live, old, "due"),
            (live, NOW - timedelta(days=31), "dead"),
            (disabled, NOW - timedelta(hours=1), "due"),
            (removed, NOW - timedelta(hours=1), "due"),
        ]
        for webhook, at, state in rows:
            conn.execute(
                "INSERT INTO webhook_deliveries (account_id, id, webhook_id, event_id, state,"
                " not_before, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (ACCOUNT, new_id(), webhook, new_id(), state, at, at),
            )
    keep_house(pool, settings)
    with pool.connection() as conn:
        left = conn.execute("SELECT webhook_id, state, created_at FROM webhook_deliveries")
        assert set(left) == {
            (live, "dead", old),
            (live, "due", NOW - timedelta(hours=1)),
            (disabled, "dead", NOW - timedelta(hours=1)),
        }


def test_partitions_are_made_ahead(pool: Pool, settings: Settings) -> None:
    keep_house(pool, settings)
    for month in ("2026_03", "2026_06"):
        assert ages(pool, f"SELECT to_regclass('events_{month}')") != [None]


@pytest.mark.parametrize("error", [psycopg.errors.DataError(), KeyError("fault")])
def test_a_job_runs_when_it_is_due_and_its_failure_stops_no_other(
    pool: Pool, error: Exception
) -> None:
    ran: list[str] = []

    def fail(_conn: psycopg.Connection, _now: datetime) -> bool:
        ran.append("fail")
        raise error

    def work(_conn: psycopg.Connection, _now: datetime) -> bool:
        ran.append("work")
        return len(ran) < 4

    keeper = Housekeeper(pool, [periodic("a", 60, fail), periodic("b", 60, work)], new_id())
    keeper.run_due()
    assert ran == ["fail", "work", "work", "work"]
    keeper.run_due()
    assert len(ran) == 4


def test_one_process_keeps_house_until_its_lease_ends(pool: Pool) -> None:
    first, second = new_id(), new_id()

    def take(owner: Any, ttl_s: float = 60.0) -> bool:
        with pool.connection() as conn:
            return hold(conn, "test", owner, ttl_s)

    assert take(first)
    assert take(first)
    assert not take(second)
    with pool.connection() as conn:
        let_go(conn, "test", second)
    assert not take(second)
    with pool.connection() as conn:
        let_go(conn, "test", first)
    assert take(second, ttl_s=0.0)
    assert take(first)


def test_two_housekeepers_share_nothing(pool: Pool) -> None:
    ran: list[str] = []

    def note(name: str) -> Callable[[psycopg.Connection, datetime], bool]:
        def piece(_conn: psycopg.Connection, _now: datetime) -> bool:
            ran.append(name)
            return False

        return piece

    Housekeeper(pool, [periodic("j", 0, note("first"))], new_id()).run_due()
    Housekeeper(pool, [periodic("j", 0, note("second"))], new_id()).run_due()
    assert ran == ["first"]


def test_a_housekeeper_that_stops_lets_the_next_one_in(pool: Pool) -> None:
    done = threading.Event()

    def piece(_conn: psycopg.Connection, _now: datetime) -> bool:
        done.set()
        return False

    for _ in range(2):
        done.clear()
        keeper = Housekeeper(pool, [periodic("j", 60, piece)], new_id(), tick_s=0.02)
        keeper.start()
        assert done.wait(5)
        keeper.stop()


def test_a_heartbeat_shows_the_process_and_takes_it_away_at_the_end(dsn: str, pool: Pool) -> None:
    def seen() -> list[Any]:
        with pool.connection() as conn:
            return conn.execute("SELECT id, role, seen_at FROM processes").fetchall()

    with Heartbeat(dsn, "work", beat_s=0.02) as heartbeat:
        first = _wait(lambda: seen())
        assert first[0][:2] == (heartbeat.id, "work")
        _wait(lambda: seen()[0][2] > first[0][2])
    assert seen() == []


def _wait(condition: Callable[[], Any]) -> Any:
    pause = threading.Event()
    for _ in range(500):
        found = condition()
        if found:
            return found
        pause.wait(0.01)
    raise AssertionError("it did not come about")
