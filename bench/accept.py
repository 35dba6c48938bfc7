"""Recipients accepted a second by POST messages: ``python bench/accept.py [--clients 1 4 16]``.

``viesti api`` runs as a process of its own on an embedded PostgreSQL with fsync on; clients and
database share the machine. Each call has 10,000 personalised recipients, half of them contacts
already. ``--stages`` accepts in this process instead, and prints where the time goes.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import os
import pstats
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import msgspec
import psutil
import psycopg
from stage import free_port, machine

from viesti.db.embedded import ensure_database
from viesti.db.migrate import migrate
from viesti.domain.accounts.models import NewCredential
from viesti.domain.accounts.service import create_account, create_credentials
from viesti.domain.messages.models import SendRequest
from viesti.domain.messages.send import send_messages
from viesti.domain.senders.models import SmppAccount
from viesti.domain.senders.service import add_carrier, add_sender
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.kit.secrets import ensure_platform_key
from viesti.supervisor import program

PER_CALL = 10_000
# Half of each call's recipients stood in the call before it.
STEP = PER_CALL // 2


@dataclass(frozen=True)
class Scene:
    settings: Settings
    credential: NewCredential


@contextlib.contextmanager
def scene() -> Iterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="viesti-bench-") as folder:
        Path(folder).chmod(0o711)
        settings = Settings(data_dir=Path(folder) / "data", port=free_port(), rate_limit_per_s=0)
        with ensure_database(settings) as database:
            migrate(database.direct_dsn)
            key = ensure_platform_key(settings)
            with psycopg.connect(database.dsn) as conn:
                now = utc_now()
                account = create_account(conn, name="Bench", balance_micros=10**12, now=now)
                made = create_credentials(conn, key, account.id, now=now)
                add_carrier(
                    conn,
                    key,
                    name="bench",
                    smpp=SmppAccount("127.0.0.1", 9, "viesti", "none"),
                    now=now,
                )
                add_sender(
                    conn,
                    account_id=account.id,
                    number="+12025550100",
                    carrier_name="bench",
                    now=now,
                )
            yield Scene(
                replace(
                    settings, database_url=database.dsn, database_direct_url=database.direct_dsn
                ),
                made,
            )


def body(call: int) -> bytes:
    """The request of the ``call``-th call: names, an attribute, and a template of both."""
    contacts = [
        {
            "mobile": {"number": f"+1212{number:07d}", "country": "US"},
            "firstName": f"Ada{number % 997}",
            "attributes": {"plan": "gold" if number % 3 else "silver"},
        }
        for number in range(2_000_000 + call * STEP, 2_000_000 + call * STEP + PER_CALL)
    ]
    text = f"Hi {{{{firstName}}}}, your {{{{plan}}}} plan is renewed. Call {call}."
    return msgspec.json.encode({"contacts": contacts, "template": text})


def over_http(scene_: Scene, clients: list[int], rounds: int) -> None:
    base = f"http://127.0.0.1:{scene_.settings.port}"
    process = subprocess.Popen(
        [*program(), "api"],
        env={**os.environ, **to_environment(scene_.settings)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
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
        url = f"{base}/v1/accounts/{scene_.credential.account_id}/messages"
        call = 0
        for count in clients:
            bodies = [body(call + index) for index in range(rounds)]
            call += rounds + 1

            def send(raw: bytes) -> int:
                answer = http.post(url, content=raw, headers={"content-type": "application/json"})
                return int(answer.json()["data"]["valid"])

            started = time.perf_counter()
            with ThreadPoolExecutor(count) as threads:
                accepted = sum(threads.map(send, bodies))
            took = time.perf_counter() - started
            print(
                f"{count:3d} client(s): {accepted / took:8,.0f} recipients/s, {took / rounds * 1000:6,.0f} ms a call"
            )
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        print(f"largest process: {max(p.memory_info().rss for p in tree) / 2**20:.0f} MiB")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def in_process(scene_: Scene, rounds: int) -> None:
    profile = cProfile.Profile()
    rates: list[float] = []
    with psycopg.connect(scene_.settings.database_url) as conn:
        for call in range(rounds):
            raw = body(call)
            last = call == rounds - 1
            if last:
                profile.enable()
            started = time.perf_counter()
            send_messages(
                conn,
                scene_.credential.account_id,
                msgspec.json.decode(raw, type=SendRequest),
                credential_id=scene_.credential.client_id,
                idempotency_key=None,
                body=raw,
                now=utc_now(),
            )
            conn.commit()
            profile.disable()
            if not last:
                rates.append(PER_CALL / (time.perf_counter() - started))
    print("recipients/s, call by call:", " ".join(f"{rate:,.0f}" for rate in rates))
    pstats.Stats(profile).sort_stats("tottime").print_stats(30)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    options.add_argument("--rounds", type=int, default=16)
    options.add_argument("--stages", action="store_true")
    chosen = options.parse_args()
    print(machine())
    with scene() as scene_:
        if chosen.stages:
            in_process(scene_, chosen.rounds)
        else:
            over_http(scene_, chosen.clients, chosen.rounds)


if __name__ == "__main__":
    main()
