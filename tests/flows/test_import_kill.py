"""A large contact file, and the process that works it off killed again and again."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Generator
from dataclasses import replace
from typing import LiteralString

import httpx
import psycopg
import pytest

from tests.flows.rig import Account, free_port, until
from viesti.domain.accounts.service import create_account, create_credentials
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.kit.secrets import load_platform_key
from viesti.supervisor import program

ROWS = 100_000
KILLS = 3


@pytest.fixture
def account(settings: Settings) -> Generator[tuple[Account, Settings]]:
    """An account's client, with an API and no work process."""
    settings = replace(settings, rate_limit_per_s=0, port=free_port())
    with psycopg.connect(settings.database_url) as conn:
        made = create_account(conn, name="Acme", balance_micros=0, now=utc_now())
        client = create_credentials(conn, load_platform_key(settings), made.id, now=utc_now())
    api = start(settings, "api")
    base = f"http://127.0.0.1:{settings.port}"
    try:
        until(lambda: answers(f"{base}/ready"), "an API", 60)
        yield (
            Account(base, str(made.id), str(client.client_id), client.client_secret, ""),
            settings,
        )
    finally:
        api.terminate()
        api.wait(30)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def start(settings: Settings, role: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*program(), role],
        env={**os.environ, **to_environment(settings)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.kill
def test_every_row_counts_once_through_kills(account: tuple[Account, Settings]) -> None:
    client, settings = account
    rows = "".join(
        # One number in ten comes again later, one row in a thousand is refused.
        f"{'12345' if n % 1000 == 999 else f'+1212{2_000_000 + (n if n % 10 else n // 2)}'},"
        f"Ann {n},a\n"
        for n in range(ROWS)
    )
    answer = client.call(
        "POST",
        "contacts",
        content=f"Mobile,First Name,Tags\n{rows}".encode(),
        headers={"content-type": "text/csv"},
    )
    assert answer.status_code == 201, answer.text
    path = f"imports/{answer.json()['data']['jobId']}"
    for kill in range(1, KILLS + 1):
        work = start(settings, "work")
        goal = kill * ROWS // (KILLS + 1)
        until(lambda goal=goal: client.get(path)["done"] >= goal, f"{goal} rows", 120)
        work.kill()
        work.wait()
        assert client.get(path)["status"] == "running"
    work = start(settings, "work")
    try:
        until(lambda: client.get(path)["status"] == "complete", "the end", 120)
    finally:
        work.terminate()
        work.wait(30)
    done = client.get(path)
    refused = ROWS // 1000
    numbers = {n if n % 10 else n // 2 for n in range(ROWS) if n % 1000 != 999}
    assert (done["submitted"], done["done"], done["failed"]) == (ROWS, ROWS, refused)
    assert (done["inserted"], done["updated"]) == (len(numbers), 0)
    assert len(done["errors"]) == refused
    with psycopg.connect(settings.database_url) as conn:
        stored = conn.execute("SELECT count(*), count(DISTINCT mobile) FROM contacts").fetchone()
        left = conn.execute("SELECT count(*) FROM import_chunks").fetchone()
    assert stored == (len(numbers), len(numbers))
    assert left == (0,)


@pytest.mark.kill
def test_an_upload_that_breaks_off_or_is_refused_early_leaves_nothing(
    account: tuple[Account, Settings],
) -> None:
    client, settings = account
    path = f"/v1/accounts/{client.account_id}/contacts"
    rows = b"".join(b"+1212%d\n" % (2_000_000 + n) for n in range(50_000))

    def send(start_of_file: bytes, promised: int) -> socket.socket:
        link = socket.create_connection(("127.0.0.1", settings.port), timeout=30)
        link.sendall(
            f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\n"
            f"content-length: {promised}\r\n"
            f"authorization: {client.http.headers['authorization']}\r\n\r\n".encode()
        )
        link.sendall(start_of_file)
        return link

    def count(table: LiteralString) -> int:
        with psycopg.connect(settings.database_url) as conn:
            found = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(found[0]) if found else 0

    with send(b"Mobile\n" + rows, 2 * len(rows)):
        until(lambda: count("import_chunks") > 5, "a file half stored", 30)
    until(lambda: count("imports") == count("import_chunks") == 0, "nothing left of it", 30)
    with send(b"Name\n" + rows, 200 * len(rows)) as link:
        assert b" 400 " in link.recv(1000).splitlines()[0]
    assert count("imports") == count("contacts") == 0
    assert client.get("contacts") == []
