"""What the benchmarks share: the machine's line, a free port, and a running `viesti serve`."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from viesti.kit.config import Settings, to_environment
from viesti.supervisor import program

START_S = 90.0


def machine() -> str:
    """One line that says what a figure was measured on."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Client:
    """One account's client of the API."""

    http: httpx.Client
    url: str
    sender: str

    def post(self, path: str, body: Any) -> dict[str, Any]:
        answer = self.http.post(f"{self.url}/{path}", json=body)
        answer.raise_for_status()
        return answer.json()["data"]


@dataclass
class Platform:
    settings: Settings
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def command(self, *words: str) -> dict[str, Any]:
        done = subprocess.run(
            [*program(), *words, "--json"], check=True, capture_output=True, env=self.environment
        )
        return json.loads(done.stdout)

    def client(self, balance: str = "1000000") -> Client:
        """A client of a fresh account."""
        made = self.command("account", "create", "--name", "Bench", "--balance", balance)
        base = f"http://127.0.0.1:{self.settings.port}"
        http = httpx.Client(timeout=60)
        token = http.post(
            f"{base}/oauth2/token",
            json={
                "grant_type": "client_credentials",
                "client_id": made["clientId"],
                "client_secret": made["clientSecret"],
            },
        ).json()["access_token"]
        http.headers["authorization"] = f"Bearer {token}"
        return Client(http, f"{base}/v1/accounts/{made['accountId']}", made["sender"])

    @property
    def handsets(self) -> str:
        return f"http://127.0.0.1:{self.settings.simulator_http_port}"


@contextlib.contextmanager
def serving(more: Mapping[str, str] | None = None, **settings: Any) -> Iterator[Platform]:
    """`viesti serve` with an embedded PostgreSQL (fsync on), in a folder of its own.

    ``more`` is added to the environment of all roles.
    """
    with tempfile.TemporaryDirectory(prefix="viesti-bench-") as folder:
        Path(folder).chmod(0o711)
        complete = Settings(
            data_dir=Path(folder) / "data",
            port=free_port(),
            simulator_port=free_port(),
            simulator_http_port=free_port(),
            rate_limit_per_s=0,
            **settings,
        )
        environment = {**os.environ, **(more or {}), **to_environment(complete)}
        log = Path(folder) / "serve.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*program(), "serve"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        try:
            deadline = time.monotonic() + START_S
            while "Viesti is running" not in log.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(log.read_text())
                time.sleep(0.1)
            yield Platform(complete, environment, process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
