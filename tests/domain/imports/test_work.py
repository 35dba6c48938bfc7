"""Large files: stored while they arrive, worked off chunk by chunk, counted exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.domain.imports.conftest import Desk
from viesti.domain.contacts.models import MergeStrategy
from viesti.domain.imports import models
from viesti.domain.imports.apply import Imported
from viesti.domain.imports.intake import Limits
from viesti.domain.imports.models import CHUNK_ROWS, INLINE_ROWS, MAX_ERRORS, MAX_OPEN, State
from viesti.domain.imports.queries import list_refused
from viesti.domain.imports.store import STALE, drop_stale
from viesti.domain.imports.work import Importer, cancel_import
from viesti.domain.opt_outs.service import opt_out
from viesti.kit.clock import utc_now
from viesti.kit.errors import Conflict, ViestiError

ROWS = INLINE_ROWS + 1
HEADER = "Mobile,First Name,Tags\n"


def number(n: int) -> str:
    return f"+1212{2_000_000 + n}"


def table(rows: int, tag: str = "a", first: int = 0) -> str:
    lines = (f"{number(n)},Ann {n},{tag}\n" for n in range(first, first + rows))
    return HEADER + "".join(lines)


def test_one_row_more_than_an_answer_holds_makes_a_job(desk: Desk) -> None:
    small = desk.take(iter([table(INLINE_ROWS).encode()]))
    assert isinstance(small, Imported)
    assert len(small.contacts) == INLINE_ROWS
    row = desk.take_job(table(ROWS, tag="b"))
    assert (row.state, row.rows, row.rows_done) == (State.RUNNING, ROWS, 0)
    assert desk.work(pieces=2)
    half = desk.find(row)
    assert (half.rows_done, half.inserted, half.updated) == (2 * CHUNK_ROWS, 0, 2 * CHUNK_ROWS)
    assert not desk.work()
    done = desk.find(row)
    assert done.state is State.COMPLETE
    assert (done.rows_done, done.inserted, done.updated) == (ROWS, 1, INLINE_ROWS)
    assert done.ended_at is not None
    assert desk.count("import_chunks") == 0
    assert desk.count("contacts") == ROWS
    with desk.pool.connection() as conn:
        tags = conn.execute("SELECT tags, count(*) FROM contacts GROUP BY tags").fetchall()
    assert sorted(tags) == [(["a", "b"], INLINE_ROWS), (["b"], 1)]


def test_a_number_in_several_chunks_is_one_contact_and_counted_once(desk: Desk) -> None:
    desk.take(iter([f"Mobile\n{number(5)}\n".encode()]))
    again = "".join(f"{number(n % 10)},Later {n},x{n % 3}\n" for n in range(ROWS))
    row = desk.take_job(HEADER + again)
    # Each chunk by a process that knows nothing of those before.
    while desk.work(pieces=1):
        desk.importer = Importer()
    done = desk.find(row)
    assert (done.rows_done, done.inserted, done.updated, done.rows_failed) == (ROWS, 9, 1, 0)
    assert desk.count("contacts") == 10
    with desk.pool.connection() as conn:
        name, tags = conn.execute(  # type: ignore[misc]
            "SELECT first_name, tags FROM contacts WHERE mobile = %s", (number(0),)
        ).fetchone()
    assert name == f"Later {ROWS - 1}"
    assert sorted(tags) == ["x0", "x1", "x2"]


def test_refused_rows_are_all_counted_and_the_first_are_kept(desk: Desk) -> None:
    bad = "".join("12345,Bad,\n" for _ in range(ROWS))
    row = desk.take_job(HEADER + f"{number(1)},Ann,\n" + bad)
    desk.work()
    done = desk.find(row)
    assert (done.state, done.rows_failed, done.inserted) == (State.COMPLETE, ROWS, 1)
    with desk.pool.connection() as conn:
        kept = list_refused(conn, row.account_id, row.id)
    assert [refused.row for refused in kept] == list(range(2, MAX_ERRORS + 2))
    assert (kept[0].number, kept[0].error.code) == ("12345", "CONT-001")


@pytest.mark.parametrize("strategy", MergeStrategy)
def test_no_strategy_undoes_an_opt_out(desk: Desk, strategy: MergeStrategy) -> None:
    with desk.pool.connection() as conn:
        opt_out(
            conn,
            desk.account_id,
            number(1),
            source="keyword",
            word="STOP",
            sender_id=None,
            now=utc_now(),
        )
    lines = "".join(f"{number(n)},2020-01-01,,true\n" for n in range(ROWS))
    row = desk.take_job("Mobile,optIn,blocked,opt out\n" + lines, strategy)
    assert row.columns.ignored == ("optIn", "blocked", "opt out")
    desk.work()
    with desk.pool.connection() as conn:
        assert conn.execute("SELECT mobile FROM opt_outs").fetchall() == [(number(1),)]
        opted_in = conn.execute("SELECT count(*) FROM contacts WHERE opted_in_at IS NOT NULL")
        assert opted_in.fetchone() == (0,)


def test_a_job_tells_webhooks_nothing_and_a_small_file_tells_of_each_contact(desk: Desk) -> None:
    with desk.pool.connection() as conn:
        conn.execute(
            "INSERT INTO webhooks (account_id, id, url, event_types, secret_encrypted, created_at,"
            " updated_at) VALUES (%s, gen_random_uuid(), 'https://x.test', %s, '', now(), now())",
            (desk.account_id, ["contact-created", "contact-updated"]),
        )
    small = desk.take(iter([f"Mobile\n{number(1)}\n{number(2)}\n".encode()]))
    assert isinstance(small, Imported)
    assert small.has_events
    assert desk.count("events") == 2
    desk.take_job(table(ROWS))
    desk.work()
    assert desk.count("events") == 2


def broken(text: str, error: BaseException) -> Iterator[bytes]:
    octets = text.encode()
    for at in range(0, len(octets), 10_000):
        yield octets[at : at + 10_000]
    raise error


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), KeyboardInterrupt(), psycopg.OperationalError()]
)
def test_an_upload_that_breaks_off_leaves_nothing(desk: Desk, error: BaseException) -> None:
    with pytest.raises(type(error)):
        desk.take(broken(table(3 * ROWS), error))
    for name in ("imports", "import_chunks", "contacts"):
        assert desk.count(name) == 0
    assert not desk.work()


def test_a_file_that_turns_out_bad_or_too_large_leaves_nothing(desk: Desk) -> None:
    text = table(3 * ROWS, tag="é").encode()
    roomy = Limits(10 * 2**20, 10**6)
    for limits, octets, code in (
        (Limits(10 * 2**20, 2 * ROWS), text, "GEN-413"),
        (Limits(500_000, 10**6), text, "GEN-413"),
        (roomy, text + b'"never closed\n', "IMP-001"),
        (roomy, text + b"\xff\n", "IMP-001"),
    ):
        desk.limits = limits
        with pytest.raises(ViestiError) as caught:
            desk.take(octets[at : at + 10_000] for at in range(0, len(octets), 10_000))
        assert caught.value.code == code
        for name in ("imports", "import_chunks", "contacts"):
            assert desk.count(name) == 0


def test_what_a_dead_process_was_taking_is_invisible_and_forgotten_in_time(desk: Desk) -> None:
    upload = broken(table(3 * ROWS), ConnectionResetError())
    real, desk.transact = desk.transact, desk.transact

    def dies(work: Callable[[psycopg.Connection], object]) -> object:
        if "drop_upload" in repr(work.__code__.co_names):  # type: ignore[attr-defined]
            raise psycopg.OperationalError
        return real(work)

    desk.transact = dies  # type: ignore[assignment]
    with pytest.raises(ConnectionResetError):
        desk.take(upload)
    desk.transact = real
    assert desk.count("imports") == 1
    assert not desk.work()
    desk.transact(lambda conn: drop_stale(conn, utc_now()))
    assert desk.count("imports") == 1
    desk.transact(lambda conn: drop_stale(conn, utc_now() + 2 * STALE))
    assert desk.count("imports") == desk.count("import_chunks") == 0


def test_files_take_turns_and_those_of_one_account_are_bounded(
    desk: Desk, new_desk: Callable[[], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("viesti.domain.imports.work.TURN_CHUNKS", 1)
    other = new_desk()
    rows = [desk.take_job(table(ROWS)), other.take_job(table(ROWS))]
    assert desk.work(pieces=4)
    assert [each.find(row).chunks_done for each, row in zip((desk, other), rows, strict=True)] == [
        2,
        2,
    ]
    for _ in range(MAX_OPEN - 1):
        desk.take_job(table(ROWS))
    with pytest.raises(Conflict) as caught:
        desk.take_job(table(ROWS))
    assert caught.value.code == models.TOO_MANY_OPEN
    desk.work()
    assert other.find(rows[1]).inserted == ROWS
    assert desk.find(rows[0]).inserted == ROWS


def test_a_canceled_file_stops_where_it_is(desk: Desk) -> None:
    row = desk.take_job(table(ROWS))
    desk.work(pieces=1)
    desk.transact(lambda conn: cancel_import(conn, row, utc_now()))
    assert not desk.work()
    found = desk.find(row)
    assert (found.state, found.rows_done) == (State.CANCELED, CHUNK_ROWS)
    assert desk.count("contacts") == CHUNK_ROWS
    assert desk.count("import_chunks") == 0
    desk.transact(lambda conn: cancel_import(conn, row, utc_now()))
    assert desk.find(row).ended_at == found.ended_at


def test_a_file_that_cannot_be_worked_off_fails_and_keeps_no_other(
    new_desk: Callable[[], Desk],
) -> None:
    bad, good = new_desk(), new_desk()
    good.importer = bad.importer
    first, second = bad.take_job(table(ROWS)), good.take_job(table(ROWS))
    bad.transact(
        lambda conn: conn.execute(
            "UPDATE import_chunks SET body = 'x' WHERE account_id = %s AND n = 1",
            (bad.account_id,),
        )
    )
    assert not bad.work()
    failed = bad.find(first)
    assert (failed.state, failed.chunks_done) == (State.FAILED, 1)
    assert bad.count("contacts") == failed.inserted == failed.rows_done
    assert bad.count("import_chunks") == 0
    assert good.find(second).state is State.COMPLETE
