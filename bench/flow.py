"""Texts a second from the API call to ``delivered``, through all roles and a real SMSC connection.

Run: python bench/flow.py [--texts 50000] [--rounds 1] [--from-queue] [--snapshot] [--profile]

A whole ``viesti serve`` (API, two dispatchers, work, simulator; embedded PostgreSQL with fsync
on) in a folder of its own. Calls of 10,000 recipients go over HTTP with a real token; the clock
runs from the first octet of the first call until the last text is ``delivered`` in the
database, and all share the machine. With ``--from-queue`` the texts are accepted while the
simulator does not run, and the clock starts when it takes the bind: dispatch alone.

How the end is noticed: four times a second (twenty, within the last call) the bench asks for one
text of the oldest unfinished call that is not delivered. That reads 10,000 rows by their primary
key at most, whatever the number of texts; with ``--cost`` it prints what the questions took.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psutil
import psycopg
from profiler import GO, Statements, report, sampled_environment
from stage import Client, Platform, machine, serving

from viesti.db.embedded import ensure_database

A_CALL = 10_000
WORDS = "Hi {{firstName}}, your appointment is confirmed for Monday at 10:30. Reply 1 to change it."
STILL_S = 30.0
ROLES = ("api", "dispatch", "work", "simulate")


@dataclass
class Watch:
    """Asks, call by call, whether everything is delivered."""

    conn: psycopg.Connection
    account_id: UUID
    calls: int
    done: int = 0
    asked: int = 0
    asking_s: float = 0.0

    def __post_init__(self) -> None:
        self._jobs: list[tuple[UUID, UUID]] = []
        self._moved: tuple[UUID | None, float] = (None, time.perf_counter())

    def is_over(self) -> bool:
        began_s = time.perf_counter()
        self.asked += 1
        try:
            while self._next_is_done():
                self.done += 1
        finally:
            self.asking_s += time.perf_counter() - began_s
        return self.done == self.calls

    def _next_is_done(self) -> bool:
        if self.done == self.calls:
            return False
        if self.done == len(self._jobs):
            self._jobs = [
                (row[0], row[1])
                for row in self.conn.execute(
                    "SELECT first_message_id, last_message_id FROM jobs WHERE account_id = %s"
                    " ORDER BY first_message_id",
                    (self.account_id,),
                )
            ]
        if self.done == len(self._jobs):
            return False
        left = self.conn.execute(
            "SELECT id FROM messages WHERE account_id = %s AND id BETWEEN %s AND %s"
            " AND status <> 'delivered' ORDER BY id LIMIT 1",
            (self.account_id, *self._jobs[self.done]),
        ).fetchone()
        if left is None:
            return True
        self._note(left[0])
        return False

    def _note(self, first_left: UUID) -> None:
        if first_left != self._moved[0]:
            self._moved = (first_left, time.perf_counter())
        elif time.perf_counter() - self._moved[1] > STILL_S:
            found = self.conn.execute(
                "SELECT status, count(*) FROM messages WHERE account_id = %s GROUP BY 1",
                (self.account_id,),
            ).fetchall()
            raise SystemExit(f"nothing moves any more: {found}")

    def wait(self) -> None:
        while not self.is_over():
            time.sleep(0.05 if self.done == self.calls - 1 else 0.25)


@dataclass
class Times:
    """Processor seconds so far, by role."""

    by_part: dict[str, float]

    @classmethod
    def read(cls, platform: Platform, conn: psycopg.Connection) -> Times:
        parts = dict.fromkeys((*ROLES, "postgres", "serve"), 0.0)
        for process in (me := psutil.Process(platform.process.pid)).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                role = next((role for role in ROLES if role in words), None)
                if role is None and process.ppid() != me.pid:
                    parent = process.parent()
                    words = parent.cmdline() if parent else []
                    role = next((role for role in ROLES if role in words), None)
                if role is not None:
                    parts[role] += _seconds(process)
        parts["serve"] = _seconds(me)
        parts["postgres"] = _database_s(conn)
        all_ = psutil.cpu_times()
        parts["everything"] = sum(all_) - all_.idle - all_.iowait - all_.guest - all_.guest_nice
        return cls(parts)

    def since(self, before: Times) -> dict[str, float]:
        return {part: value - before.by_part[part] for part, value in self.by_part.items()}


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _database_s(conn: psycopg.Connection) -> float:
    """Of the server's processes, those that ended included."""
    server = psutil.Process(conn.info.backend_pid).parent()
    if server is None:
        return 0.0
    ended = server.cpu_times()
    total = _seconds(server) + ended.children_user + ended.children_system
    for process in server.children():
        with contextlib.suppress(psutil.Error):
            total += _seconds(process)
    return total


def bodies(texts: int) -> Iterator[bytes]:
    for first in range(0, texts, A_CALL):
        contacts = [
            {"mobile": f"+1{2125550000 + n}", "firstName": f"Ada{n % 997}"}
            for n in range(first, min(first + A_CALL, texts))
        ]
        yield msgspec.json.encode({"contacts": contacts, "template": WORDS})


def call(client: Client, body: bytes) -> int:
    answer = client.http.post(
        f"{client.url}/messages", content=body, headers={"content-type": "application/json"}
    )
    answer.raise_for_status()
    return int(answer.json()["data"]["valid"])


@contextlib.contextmanager
def snapshot(dsn: str) -> Iterator[None]:
    """A transaction that keeps every dead row from being removed while it lasts."""
    with psycopg.connect(dsn) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.execute("SELECT count(*) FROM accounts")
        yield


def simulator(platform: Platform) -> psutil.Process:
    for process in psutil.Process(platform.process.pid).children(recursive=True):
        if "simulate" in process.cmdline():
            return process
    raise SystemExit("there is no simulator")


def flow(platform: Platform, dsn: str, chosen: argparse.Namespace, raw: list[bytes]) -> float:
    """Prints one round; returns its texts a second."""
    client = platform.client("100000000")
    account_id = UUID(client.url.rpartition("/")[2])
    texts: int = chosen.texts
    with contextlib.ExitStack() as stack:
        conn = stack.enter_context(psycopg.connect(dsn, autocommit=True))
        if chosen.snapshot:
            stack.enter_context(snapshot(dsn))
        statements = stack.enter_context(Statements(dsn)) if chosen.profile else None
        watch = Watch(conn, account_id, len(raw))
        if chosen.from_queue:
            simulator(platform).suspend()
            try:
                accepted_s = _accept(client, raw, chosen.clients)
            finally:
                before, began_s = Times.read(platform, conn), time.perf_counter()
                simulator(platform).resume()
            watch.wait()
        else:
            before, began_s = Times.read(platform, conn), time.perf_counter()
            with ThreadPoolExecutor(1) as beside:
                accepting = beside.submit(_accept, client, raw, chosen.clients)
                watch.wait()
                accepted_s = accepting.result()
        took_s = time.perf_counter() - began_s
        spent = Times.read(platform, conn).since(before)
    stretch = "queue" if chosen.from_queue else "API call"
    print(f"{stretch} to delivered: {texts / took_s:7,.0f} texts/s  ({texts:,} in {took_s:.2f} s)")
    print(f"  accepted at {texts / accepted_s:7,.0f} recipients/s  ({len(raw)} calls)")
    busy_s = spent.pop("everything")
    each = ", ".join(f"{part} {s / texts * 1e6:.0f}" for part, s in spent.items() if s > 0.005)
    print(f"  processor time of one text in us: {each}")
    ours = sum(spent.values())
    print(
        f"  cores busy: {ours / took_s:.2f} with it, {(busy_s - ours) / took_s:.2f} with all else"
    )
    if chosen.cost:
        print(f"  {watch.asked} questions for the end took {watch.asking_s * 1000:.0f} ms in all")
        _tables(dsn)
    if statements is not None:
        statements.print(texts, took_s)
    return texts / took_s


def _tables(dsn: str) -> None:
    """Print how the busiest tables were written to."""
    time.sleep(1.5)  # sessions hand in their statistics once a second
    with psycopg.connect(dsn) as conn:
        rows = conn.execute(
            "SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, n_dead_tup,"
            " autovacuum_count, autoanalyze_count, pg_total_relation_size(relid) / 1048576"
            " FROM pg_stat_user_tables ORDER BY n_tup_ins + n_tup_upd DESC LIMIT 8"
        ).fetchall()
    for name, new, updated, hot, gone, dead, vacuumed, analyzed, size in rows:
        print(
            f"  {name:20} {new:9,} new, {updated:9,} updated ({hot / max(1, updated):.0%} in place),"
            f" {gone:8,} deleted, {dead:8,} dead; vacuumed {vacuumed}, analyzed {analyzed}; {size} MiB"
        )


def _accept(client: Client, raw: list[bytes], clients: int) -> float:
    began_s = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        valid = sum(threads.map(lambda body: call(client, body), raw))
    if valid != sum(body.count(b'"mobile"') for body in raw):
        raise SystemExit(f"only {valid} texts were valid")
    return time.perf_counter() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=1, help="print the median of so many")
    parser.add_argument("--clients", type=int, default=1, help="bulk calls at the same time")
    parser.add_argument("--window", type=int, default=1_000, help="of the SMPP bind")
    parser.add_argument("--receipts-after", type=float, default=0.1, metavar="SECONDS")
    parser.add_argument("--from-queue", action="store_true", help="dispatch alone")
    parser.add_argument("--cost", action="store_true", help="what the bench's questions cost")
    parser.add_argument(
        "--profile",
        action="store_true",
        help="sample the dispatcher's threads and the statements; slows the run a little",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="where to leave the profile's folded stacks"
    )
    parser.add_argument(
        "--snapshot",
        action="store_true",
        help="hold a snapshot open all the while, as a long report or a dump does",
    )
    chosen = parser.parse_args()
    raw = list(bodies(chosen.texts))
    rates: list[float] = []
    with tempfile.TemporaryDirectory(prefix="viesti-bench-") as folder:
        samples = Path(folder)
        environment: dict[str, str] = sampled_environment(samples) if chosen.profile else {}
        settings: dict[str, Any] = {"simulator_receipt_delay_s": chosen.receipts_after}
        for _ in range(chosen.rounds):
            # Each round finds a fresh database: nothing known to the planner, no tables grown.
            with (
                serving(environment, demo=False, **settings) as platform,
                ensure_database(platform.settings) as database,
            ):
                with psycopg.connect(database.direct_dsn) as conn:
                    conn.execute('UPDATE carriers SET "window" = %s', (chosen.window,))
                (samples / GO).touch()
                rates.append(flow(platform, database.direct_dsn, chosen, raw))
                (samples / GO).unlink()
        if chosen.profile:
            report(samples, chosen.texts * chosen.rounds, chosen.keep)
    print(
        f"median of {len(rates)}: {statistics.median(rates):,.0f} texts/s"
        f" ({min(rates):,.0f} to {max(rates):,.0f}); window {chosen.window},"
        f" receipts after {chosen.receipts_after} s"
        f"{', beside a held snapshot' if chosen.snapshot else ''}"
    )
    print(machine())


if __name__ == "__main__":
    main()
