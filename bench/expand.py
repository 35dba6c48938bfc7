"""A send by filter: how fast the call returns, texts stored a second, memory of each process.

``python bench/expand.py [--contacts 1000000]``: ``viesti api`` and ``viesti work``
run as processes of their own on an embedded PostgreSQL with fsync on, all on this machine. The
first sends name filters of several kinds and are canceled at once; the last one is expanded.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import psycopg
from accept import Scene, scene
from stage import machine

from viesti.kit.config import to_environment
from viesti.kit.ids import new_id
from viesti.supervisor import program

LOOK_S = 0.5
MIB = 2**20


def add_contacts(scene_: Scene, count: int) -> None:
    """People with names, tags and attributes; indexes that are dear to fill are built after."""
    started = time.perf_counter()
    with psycopg.connect(scene_.settings.database_direct_url) as conn:
        conn.execute("SET maintenance_work_mem = '512MB'")
        index = conn.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'contacts'"
            " AND indexdef LIKE '%%USING gin%%'"
        ).fetchall()
        for name, _ in index:
            conn.execute(f"DROP INDEX {name}".encode())
        columns = (
            "account_id, id, mobile, country, first_name, last_name, tags, attributes,"
            " created_at, updated_at"
        )
        with conn.cursor().copy(f"COPY contacts ({columns}) FROM STDIN".encode()) as copy:
            for n in range(count):
                tags = "{all,even}" if n % 2 == 0 else "{all}"
                plan = "gold" if n % 3 else "silver"
                copy.write_row(
                    (
                        scene_.credential.account_id,
                        new_id(),
                        f"+1{2_120_000_000 + n}",
                        "US",
                        f"Ada{n % 997}",
                        f"Lovelace{n % 9973}",
                        tags,
                        f'{{"plan": "{plan}", "n": {n}}}',
                        "2026-01-01T00:00:00Z",
                        "2026-01-01T00:00:00Z",
                    )
                )
        for _, definition in index:
            conn.execute(definition.encode())
    with psycopg.connect(scene_.settings.database_direct_url, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE contacts")
    print(f"{count:,} contacts made in {time.perf_counter() - started:.0f} s")


@contextlib.contextmanager
def roles(scene_: Scene, *names: str) -> Iterator[dict[str, psutil.Process]]:
    running = {
        name: subprocess.Popen(
            [*program(), name],
            env={**os.environ, **to_environment(scene_.settings)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name in names
    }
    try:
        yield {name: psutil.Process(process.pid) for name, process in running.items()}
    finally:
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        for process in running.values():
            process.wait(30)


def log_in(scene_: Scene) -> httpx.Client:
    base = f"http://127.0.0.1:{scene_.settings.port}"
    http = httpx.Client(timeout=60)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if http.get(f"{base}/ready").is_success:
                break
        time.sleep(0.1)
    token = http.post(
        f"{base}/oauth2/token",
        json={
            "grant_type": "client_credentials",
            "client_id": str(scene_.credential.client_id),
            "client_secret": scene_.credential.client_secret,
        },
    ).json()["access_token"]
    http.headers["authorization"] = f"Bearer {token}"
    http.base_url = f"{base}/v1/accounts/{scene_.credential.account_id}"
    return http


def send(http: httpx.Client, filters: dict[str, Any], text: str) -> tuple[str, float]:
    started = time.perf_counter()
    answer = http.post("/messages", json={"filters": filters, "template": text})
    took_s = time.perf_counter() - started
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["jobId"], took_s


def measure(scene_: Scene, count: int) -> None:
    kinds = {
        "a tag of all": {"tags": ["all"]},
        "a tag of half": {"tags": ["even"]},
        "an attribute of two thirds": {"attributes": [{"name": "plan", "value": "gold"}]},
        "an attribute of a few": {
            "attributes": [{"name": "n", "comparator": ">", "value": count - 100}]
        },
    }
    with roles(scene_, "api") as started:
        http = log_in(scene_)
        send(http, {"tags": ["none"]}, "warm")
        for name, filters in kinds.items():
            times: list[float] = []
            for _ in range(5):
                job, took_s = send(http, filters, "Hello {{firstName}}")
                http.delete(f"/jobs/{job}")
                times.append(took_s)
            print(f"call, {name}: {min(times) * 1000:.0f} to {max(times) * 1000:.0f} ms")
        api = started["api"].memory_info().rss
        job, took_s = send(http, kinds["a tag of all"], "Hi {{firstName}}, your {{plan}} plan.")
        print(f"call, expanded now: {took_s * 1000:.0f} ms; api {api / MIB:.0f} MiB")
    with (
        roles(scene_, "work") as started,
        psycopg.connect(scene_.settings.database_url, autocommit=True) as conn,
    ):
        worker, most = started["work"], 0
        marks: list[tuple[float, int]] = []
        is_done = False
        while not is_done:
            time.sleep(LOOK_S)
            row = conn.execute(
                "SELECT requested, expanded FROM jobs WHERE account_id = %s AND id = %s",
                (scene_.credential.account_id, job),
            ).fetchone()
            assert row
            is_done = row[1]
            if row[0]:
                marks.append((time.perf_counter(), row[0]))
            most = max(most, *(p.memory_info().rss for p in (worker, *worker.children(True))))
            assert worker.is_running()
        (first_s, first), (last_s, last) = marks[0], marks[-1]
        print(
            f"expansion: {(last - first) / (last_s - first_s):,.0f} texts/s over"
            f" {last_s - first_s:.0f} s; work {most / MIB:.0f} MiB at most"
        )
        found = conn.execute(
            "SELECT count(*), count(DISTINCT contact_id) FROM messages WHERE job_id = %s", (job,)
        ).fetchone()
        print(f"{last:,} requested, (texts, contacts) stored: {found}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--contacts", type=int, default=1_000_000)
    chosen = options.parse_args()
    print(machine())
    with scene() as scene_:
        add_contacts(scene_, chosen.contacts)
        measure(scene_, chosen.contacts)


if __name__ == "__main__":
    main()
