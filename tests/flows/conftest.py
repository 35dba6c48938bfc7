"""One running `viesti serve` for the flows of a worker, and accounts of their own for each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.flows.rig import Account, Handsets, Receiver, free_port, until
from viesti.kit.config import Settings, to_environment
from viesti.supervisor import program


@dataclass
class Platform:
    settings: Settings
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    log: Path
    handsets: Handsets

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def command(self, *words: str) -> dict[str, str]:
        done = subprocess.run(
            [*program(), *words, "--json"],
            check=True,
            capture_output=True,
            text=True,
            env=self.environment,
        )
        return json.loads(done.stdout)

    def account(self, *options: str) -> Account:
        made = self.command("account", "create", "--name", "Acme", *options)
        return Account(
            self.base, made["accountId"], made["clientId"], made["clientSecret"], made["sender"]
        )


def start_platform(**settings: Any) -> Generator[Platform]:
    """The whole of Viesti as a person starts it, on ports and in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="viesti-flows-") as folder:
        Path(folder).chmod(0o711)
        complete = Settings(
            data_dir=Path(folder) / "data",
            port=free_port(),
            simulator_port=free_port(),
            simulator_http_port=free_port(),
            **settings,
        )
        log = Path(folder) / "serve.log"
        environment = {**os.environ, **to_environment(complete)}
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
            until(
                lambda: "Viesti is running" in log.read_text() or process.poll() is not None,
                "a running Viesti",
                90,
            )
            assert process.poll() is None, log.read_text()
            yield Platform(
                complete,
                environment,
                process,
                log,
                Handsets(f"http://127.0.0.1:{complete.simulator_http_port}"),
            )
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


@pytest.fixture(scope="session")
def platform() -> Generator[Platform]:
    """One running Viesti for all flows of a worker; the tests poll it, so without a rate limit."""
    yield from start_platform(rate_limit_per_s=0)


@pytest.fixture
def account(platform: Platform) -> Account:
    return platform.account()


@pytest.fixture
def make_account(platform: Platform) -> Callable[..., Account]:
    return platform.account


@pytest.fixture
def handsets(platform: Platform) -> Handsets:
    return platform.handsets


@pytest.fixture
def receiver() -> Generator[Receiver]:
    endpoint = Receiver()
    yield endpoint
    endpoint.close()
