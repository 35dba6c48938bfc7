"""Recipients accepted a second by POST messages: ``python bench/accept.py [--clients 1 4 16]``.

``viesti api`` runs as a process of its own on an embedded PostgreSQL with fsync on; clients and
database share the machine. Each call has 10,000 personalised recipients, half of them contacts
already; calls that run side by side have none in common. ``--stages`` accepts in this process instead, and prints what each stage costs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import psycopg
from stage import free_port, machine

from viesti.api.body import decode_json
from viesti.db.connections import connect
from viesti.db.embedded import ensure_database
from viesti.db.migrate import migrate
from viesti.domain.accounts.models import NewCredential
from viesti.domain.accounts.service import create_account, create_credentials
from viesti.domain.contacts.upsert import Writing
from viesti.domain.messages import accept, recipients, send
from viesti.domain.messages.models import SendRequest
from viesti.domain.senders.models import SmppAccount
from viesti.domain.senders.service import add_carrier, add_sender
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.kit.process import tune_interpreter
from viesti.kit.secrets import ensure_platform_key
from viesti.supervisor import program

PER_CALL = 10_000
# Recipients come in blocks: each call has one that an earlier call made, and a new one.
BLOCK = PER_CALL // 2
WARM_UP = 3


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


class Blocks:
    """Which block of recipients is whose."""

    def __init__(self) -> None:
        self._next = 0
        self._known: list[int] = []

    def make(self) -> int:
        """A block that nobody knows yet; it counts as known to the next ``take``."""
        self._next += 1
        self._known.append(self._next)
        return self._next

    def take(self, calls: int) -> list[tuple[int, int]]:
        """For each of ``calls`` a block that an earlier call made, and a new one."""
        known, self._known = self._known[:calls], self._known[calls:]
        self._known += known
        return [(first, self.make()) for first in known]


def body(blocks: tuple[int, int], call: int) -> bytes:
    """A request to two blocks of people: names, an attribute, and a template of both."""
    contacts = [
        {
            "mobile": {"number": f"+1212{number:07d}", "country": "US"},
            "firstName": f"Ada{number % 997}",
            "attributes": {"plan": "gold" if number % 3 else "silver"},
        }
        for block in blocks
        for number in range(2_000_000 + block * BLOCK, 2_000_000 + (block + 1) * BLOCK)
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
        # A connection for each call, or chance would give one worker all clients for good.
        http = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
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

        def send(raw: bytes) -> tuple[int, float]:
            started = time.perf_counter()
            answer = http.post(url, content=raw, headers={"content-type": "application/json"})
            took = time.perf_counter() - started
            return int(answer.json()["data"]["valid"]), took

        blocks = Blocks()
        for call in range(max(WARM_UP, -(-rounds // 2))):
            send(body((blocks.make(), blocks.make()), call))
        call = max(WARM_UP, rounds)
        for count in clients:
            bodies = [body(pair, call + index) for index, pair in enumerate(blocks.take(rounds))]
            call += rounds
            before = _cpu_s(process.pid)
            started = time.perf_counter()
            with ThreadPoolExecutor(count) as threads:
                answers = list(threads.map(send, bodies))
            took = time.perf_counter() - started
            api_s, server_s = (
                after - at for after, at in zip(_cpu_s(process.pid), before, strict=True)
            )
            accepted = sum(valid for valid, _ in answers)
            median_s = statistics.median(call_s for _, call_s in answers)
            print(
                f"{count:3d} client(s): {accepted / took:8,.0f} recipients/s;"
                f" a call: median {median_s * 1000:5,.0f} ms"
                f" ({PER_CALL / median_s:,.0f} recipients/s);"
                f" processor time of a call: API {api_s / rounds * 1000:.0f} ms,"
                f" PostgreSQL {server_s / rounds * 1000:.0f} ms"
            )
        memory = [found.memory_info().rss / 2**20 for found in _tree(process.pid)]
        print(
            f"memory of the API's {len(memory)} process(es):"
            f" {', '.join(f'{mib:.0f}' for mib in memory)} MiB"
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _tree(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def _cpu_s(api_pid: int) -> tuple[float, float]:
    """Processor seconds of the API, and of this program's PostgreSQL, so far."""
    ours = {found.pid for found in _tree(api_pid)}
    totals = [0.0, 0.0]
    for found in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = found.cpu_times()
            if found.pid in ours:
                totals[0] += times.user + times.system
            elif found.name().startswith("postgres"):
                totals[1] += times.user + times.system
    return totals[0], totals[1]


@dataclass
class Stages:
    """What each stage took of wall time and of both processors, without the stages inside it."""

    backend: int
    spent_ms: dict[str, list[float]]
    stack: list[list[float]]

    def now(self) -> list[float]:
        with contextlib.suppress(OSError):
            nanoseconds = Path(f"/proc/{self.backend}/schedstat").read_text().split()[0]
            return [time.perf_counter() * 1e3, time.thread_time() * 1e3, int(nanoseconds) / 1e6]
        return [time.perf_counter() * 1e3, time.thread_time() * 1e3, 0.0]

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        inner = [0.0, 0.0, 0.0]
        self.stack.append(inner)
        before = self.now()
        try:
            yield
        finally:
            took = [after - at for after, at in zip(self.now(), before, strict=True)]
            self.stack.pop()
            spent = self.spent_ms.setdefault(name, [0.0, 0.0, 0.0])
            for index in range(3):
                spent[index] += took[index] - inner[index]
                if self.stack:
                    self.stack[-1][index] += took[index]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return run


# Where each stage begins: a function of the send, as the module that calls it knows it.
STAGES = (
    ("parse contacts and numbers", recipients, "_resolve_contacts"),
    ("contacts: look up", recipients, "begin_upsert"),
    ("contacts: insert", Writing, "finish"),
    ("choose senders", accept, "_choose_senders"),
    ("open conversations: look up", accept, "find_open_threads"),
    ("merge, count, price", accept, "_judge"),
    ("duplicate guard", accept, "find_duplicates"),
    ("conversations: write", accept, "_join_threads"),
    ("messages and queue", accept, "store_messages"),
    ("the answer's 1,000 messages", send, "_show_drafts"),
)


def in_process(scene_: Scene, rounds: int) -> None:
    tune_interpreter()
    # One after the other, or the stages could not be told apart.
    accept.beside = lambda statements, meanwhile: (statements(), meanwhile())
    decoder = msgspec.json.Decoder(SendRequest)
    with connect(scene_.settings.database_url, "bench") as conn:
        stages = Stages(conn.info.backend_pid, {}, [])
        for name, module, function in STAGES:
            setattr(module, function, stages.timed(name, getattr(module, function)))
        blocks = Blocks()
        blocks.make()
        for call in range(WARM_UP + rounds):
            raw = body(blocks.take(1)[0], call)
            if call == WARM_UP:
                stages.spent_ms.clear()
            with stages.stage("the rest"):
                with stages.stage("decode the body"):
                    request = decode_json(raw, decoder)
                answer = send.send_messages(
                    conn,
                    scene_.credential.account_id,
                    request,
                    credential_id=scene_.credential.client_id,
                    idempotency_key=None,
                    body=raw,
                    now=utc_now(),
                )
                with stages.stage("commit"):
                    conn.commit()
                with stages.stage("encode the answer"):
                    msgspec.json.encode({"success": True, "data": answer.data})
                del request, answer
    spent = stages.spent_ms
    spent["all"] = [sum(column) for column in zip(*spent.values(), strict=True)]
    print(f"{'microseconds a recipient':32s} {'wall':>7s} {'Python':>7s} {'PostgreSQL':>11s}")
    for name, (wall, python, server) in spent.items():
        share = 1000 / (rounds * PER_CALL)
        print(f"{name:32s} {wall * share:7.1f} {python * share:7.1f} {server * share:11.1f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    options.add_argument("--rounds", type=int, default=16)
    options.add_argument("--workers", type=int, help="API processes (VIESTI_API_WORKERS)")
    options.add_argument("--stages", action="store_true")
    chosen = options.parse_args()
    print(machine())
    with scene() as scene_:
        if chosen.workers:
            scene_ = replace(scene_, settings=replace(scene_.settings, api_workers=chosen.workers))
        if chosen.stages:
            in_process(scene_, chosen.rounds)
        else:
            over_http(scene_, chosen.clients, chosen.rounds)


if __name__ == "__main__":
    main()
