"""The API in a process of its own, over Granian and a real socket."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from viesti.domain.accounts.service import create_account, create_credentials
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.kit.secrets import load_platform_key

STARTS_WITHIN_S = 30.0
HOOK = "https://hooks.example.com/a/b?secret=x%2Fy&z=1"

SERVE = "from viesti.api.app import run; from viesti.kit.config import load_settings; run(load_settings())"


class ServedApi:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE], env={**os.environ, **to_environment(settings)}
        )

    def ask(
        self, method: str, path: str, body: Any = None, token: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        """``path`` goes onto the wire exactly as given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.port, timeout=10)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = f"bearer {token}"
        connection.request(
            method, path, None if body is None else json.dumps(body).encode(), headers
        )
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content

    def wait_until_ready(self) -> None:
        until = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                if self.ask("GET", "/ready")[0] == 200:
                    return
            except OSError:
                pass
            assert self.process.poll() is None, "the API ended while starting"
            assert time.monotonic() < until, "the API did not get ready"
            time.sleep(0.05)


@pytest.fixture
def api(settings: Settings) -> Generator[ServedApi]:
    api = ServedApi(replace(settings, database_pool_size=3))
    try:
        api.wait_until_ready()
        yield api
    finally:
        api.process.terminate()
        api.process.wait(20)


@pytest.fixture
def account(settings: Settings, conn: psycopg.Connection) -> tuple[str, str, str]:
    """Account id, client id, client secret."""
    now = utc_now()
    made = create_account(conn, name="Served", balance_micros=0, now=now)
    credentials = create_credentials(conn, load_platform_key(settings), made.id, now=now)
    conn.commit()
    return str(made.id), str(credentials.client_id), credentials.client_secret


def test_serves_the_main_calls_and_keeps_percent_encoding_on_a_real_socket(
    api: ServedApi, account: tuple[str, str, str]
) -> None:
    account_id, client_id, secret = account
    status, headers, content = api.ask(
        "POST",
        "/oauth2/token",
        {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret},
    )
    assert status == 200
    assert headers["x-request-id"]
    token = json.loads(content)["access_token"]
    below = f"/v1/accounts/{account_id}"

    subscription = {"url": HOOK, "eventTypes": ["message-received"]}
    status, _, content = api.ask("POST", f"{below}/webhooks", subscription, token)
    assert status == 200
    assert json.loads(content)["data"]["url"] == HOOK

    # Another URL that only differs in what is encoded is another webhook.
    near = quote(HOOK.replace("%2F", "/"), safe="")
    assert api.ask("DELETE", f"{below}/webhooks/{near}", token=token)[0] == 404
    status, _, content = api.ask("DELETE", f"{below}/webhooks/{quote(HOOK, safe='')}", token=token)
    assert (status, content) == (204, b"")
    assert api.ask("DELETE", f"{below}/webhooks/{quote(HOOK, safe='')}", token=token)[0] == 404

    # A client that forgets to encode means the same.
    plain = "https://hooks.example.com/plain?key=1"
    subscription = {"url": plain, "eventTypes": ["message-sent"]}
    assert api.ask("POST", f"{below}/webhooks", subscription, token)[0] == 200
    assert api.ask("DELETE", f"{below}/webhooks/{plain}", token=token)[0] == 204


def test_a_request_that_is_too_large_is_refused_on_a_real_socket(api: ServedApi) -> None:
    status, _, content = api.ask("POST", "/oauth2/token", "x" * 70_000)
    assert status == 413
    assert json.loads(content)["error"]


def test_says_that_it_is_alive_and_stops_cleanly_when_told(
    api: ServedApi, conn: psycopg.Connection
) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    workers = [("api",)] * api.settings.api_processes
    while conn.execute("SELECT role FROM processes").fetchall() != workers:
        assert time.monotonic() < until
        conn.rollback()
        time.sleep(0.05)
    conn.rollback()
    api.process.send_signal(signal.SIGTERM)
    assert api.process.wait(20) == 0
    with pytest.raises(OSError, match="refused"):
        api.ask("GET", "/health")
    assert conn.execute("SELECT role FROM processes").fetchall() == []


def test_several_workers_count_together(settings: Settings) -> None:
    api = ServedApi(replace(settings, database_pool_size=2, api_workers=2))
    try:
        api.wait_until_ready()
        for _ in range(10):
            assert api.ask("GET", "/health")[0] == 200
        _, _, content = api.ask("GET", "/metrics")
        line = 'viesti_api_requests_total{method="GET",route="/health",status="200"} 10.0'
        assert line in content.decode()
    finally:
        api.process.terminate()
        api.process.wait(20)


def test_workers_end_when_their_server_is_killed(settings: Settings) -> None:
    api = ServedApi(replace(settings, database_pool_size=2))
    api.wait_until_ready()
    api.process.kill()
    api.process.wait(10)
    until = time.monotonic() + 15
    while True:
        try:
            api.ask("GET", "/health")
        except OSError:
            return
        assert time.monotonic() < until, "the worker outlived its server"
        time.sleep(0.1)
