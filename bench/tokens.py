"""Access tokens a second from one API process on one core: ``python bench/tokens.py``.

The API runs over Granian in a process of its own, bound to one core; the client uses another.
PostgreSQL is the embedded one, fsync on. One SDK in use asks for a token with every text, so
the goal is 500 a second, the check of the client included. An authenticated read follows, for
comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import uvloop
from stage import machine

from viesti.db.connections import connect
from viesti.db.embedded import ensure_database
from viesti.db.migrate import migrate
from viesti.domain.accounts.service import create_account, create_credentials
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.kit.secrets import ensure_platform_key

CONNECTIONS = 16
GOAL = 500
SERVE = (
    "import os; os.sched_setaffinity(0, {core});"
    "from viesti.api.app import run; from viesti.kit.config import load_settings;"
    "run(load_settings())"
)


async def _ask_until(until: float, port: int, request: bytes) -> int:
    """How many answers of 200 came to ``request`` on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = 0
    while time.perf_counter() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        lower = head.lower()
        at = lower.index(b"content-length:")
        await reader.readexactly(int(lower[at + 15 :].split(b"\r\n", 1)[0]))
        answered += 1
    writer.close()
    return answered


async def _rate(port: int, request: bytes, seconds: float) -> float:
    await _ask_until(time.perf_counter() + 0.5, port, request)
    started = time.perf_counter()
    counts = await asyncio.gather(
        *(_ask_until(started + seconds, port, request) for _ in range(CONNECTIONS))
    )
    return sum(counts) / (time.perf_counter() - started)


def _request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _wait_until_ready(port: int) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the API did not get ready")


def _measure(settings: Settings, seconds: float) -> None:
    with connect(settings.database_url, "bench") as conn:
        account = create_account(conn, name="Bench", balance_micros=0, now=utc_now())
        key = ensure_platform_key(settings)
        client = create_credentials(conn, key, account.id, now=utc_now())
    body = json.dumps(
        {
            "grant_type": "client_credentials",
            "client_id": str(client.client_id),
            "client_secret": client.client_secret,
        }
    ).encode()
    url = f"http://127.0.0.1:{settings.port}/oauth2/token"
    with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
        token = json.load(answer)["access_token"]
    asks = {
        "tokens": _request("POST", "/oauth2/token", {"Content-Type": "application/json"}, body),
        "authenticated reads": _request(
            "GET", f"/v1/accounts/{account.id}/contacts", {"Authorization": f"Bearer {token}"}
        ),
    }
    for name, request in asks.items():
        rate = uvloop.run(_rate(settings.port, request, seconds))
        goal = f" (goal {GOAL:,})" if name == "tokens" else ""
        print(f"{name}: {rate:,.0f} a second on one core{goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    print(machine())
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        settings = Settings(data_dir=Path(folder) / "data", port=port, rate_limit_per_s=0)
        with ensure_database(settings) as database:
            migrate(database.direct_dsn)
            settings = replace(settings, database_url=database.dsn)
            ensure_platform_key(settings)
            api = subprocess.Popen(
                [sys.executable, "-c", SERVE.format(core={cores[0]})],
                env={**os.environ, **to_environment(settings)},
            )
            try:
                _wait_until_ready(port)
                os.sched_setaffinity(0, set(cores[1:]) or set(cores))
                _measure(settings, arguments.seconds)
            finally:
                api.terminate()
                api.wait()


if __name__ == "__main__":
    main()
