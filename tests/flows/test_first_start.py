"""A newcomer's `viesti serve`: real processes from the first start to Ctrl-C and back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import psutil
import pytest

from viesti.kit.config import PREFIX, Settings, to_environment
from viesti.supervisor import program

TIMEOUT_S = 90


class Serve:
    """One `viesti serve` with its output in a file."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.log = log
        self.settings = settings
        self.environment = {**os.environ, **to_environment(settings)}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*program(), "serve"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # As a terminal does, so that Ctrl-C can be sent to the whole group.
                process_group=0,
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, times: int = 1) -> str:
        deadline = time.monotonic() + TIMEOUT_S
        while self.output().count(text) < times:
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.1)
        return self.output()

    def roles(self) -> dict[str, int]:
        """The process of each role, by the name in its command line."""
        return {
            line[-1]: child.pid
            for child in psutil.Process(self.process.pid).children()
            if (line := child.cmdline()) and line[-2].endswith("viesti")
        }

    def ctrl_c(self) -> int:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(TIMEOUT_S)

    def command(self, *words: str) -> dict[str, Any]:
        done = subprocess.run(
            [*program(), *words, "--json"],
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def serve(free_port: Callable[[], int]) -> Generator[Callable[[], Serve]]:
    """Call it for a running `viesti serve`; each call is a start on the same data folder."""
    with tempfile.TemporaryDirectory(prefix="viesti-") as folder:
        Path(folder).chmod(0o711)
        settings = Settings(
            data_dir=Path(folder) / "data",
            port=free_port(),
            simulator_port=free_port(),
            simulator_http_port=free_port(),
        )
        started: list[Serve] = []

        def start() -> Serve:
            started.append(Serve(settings, Path(folder) / f"log-{len(started)}"))
            return started[-1]

        yield start
        for one in started:
            with contextlib.suppress(ProcessLookupError):
                one.ctrl_c()


@pytest.mark.slow
def test_the_first_start_shows_the_main_job_and_the_second_keeps_everything(
    serve: Callable[[], Serve],
) -> None:
    first = serve()
    shown = first.wait_for('"template":"Hello!"')
    assert "✓ delivered after" in shown
    assert "← reply from +13475550101: Hi! It works." in shown
    assert "did not go through" not in shown
    account = re.search(r"Account id +(\S+)", shown)
    secret = re.search(r"Client secret +(\S+)", shown)
    assert account is not None
    assert secret is not None
    handsets = re.search(r"Handsets +(\S+)", shown)
    assert handsets is not None
    with urllib.request.urlopen(handsets[1]) as page:
        assert page.status == 200
    assert set(first.roles()) == {"api", "dispatch", "work", "simulate"}

    # What is pasted works as it stands.
    lines = [line for line in shown.splitlines() if line.startswith(("TOKEN=", "curl "))]
    pasted = subprocess.run(
        ["bash", "-c", "\n".join(lines)], check=True, capture_output=True, text=True
    )
    assert json.loads(pasted.stdout)["data"]["valid"] == 1

    # Commands work beside it.
    made = first.command("account", "create", "--name", "Shop")
    assert made["sender"].startswith("+1")
    assert first.command("doctor")["ok"] is True

    assert first.ctrl_c() == 0
    assert "Traceback" not in first.output()

    second = serve()
    shown = second.wait_for("Viesti is running")
    second.wait_for("New secret")
    assert account[1] in second.output()
    assert secret[1] not in second.output()
    assert "First start" not in second.output()
    assert second.ctrl_c() == 0


@pytest.mark.kill
def test_a_killed_role_or_database_comes_back_and_ctrl_c_leaves_nothing_behind(
    serve: Callable[[], Serve],
) -> None:
    running = serve()
    running.wait_for("Viesti is running")
    roles = running.roles()
    assert len(roles) == 4
    for pid in roles.values():
        os.kill(pid, signal.SIGKILL)
    running.wait_for("role_restarted", 4)
    postgres = next(
        child
        for child in psutil.Process(running.process.pid).children()
        if child.name() == "postgres"
    )
    postgres.kill()
    running.wait_for("database_restarted")

    deadline = time.monotonic() + TIMEOUT_S
    while not is_ready(running.settings):
        assert time.monotonic() < deadline, running.output()
        time.sleep(0.2)
    everybody = psutil.Process(running.process.pid).children(recursive=True)
    assert running.ctrl_c() == 0
    assert [process for process in everybody if lives(process)] == []


@pytest.mark.kill
def test_roles_do_not_outlive_a_killed_supervisor(serve: Callable[[], Serve]) -> None:
    running = serve()
    running.wait_for("Viesti is running")
    roles = [psutil.Process(pid) for pid in running.roles().values()]
    running.process.kill()
    running.process.wait()
    _gone, alive = psutil.wait_procs(roles, timeout=60)
    assert [process for process in alive if lives(process)] == []
    again = serve()
    again.wait_for("Viesti is running")
    assert again.ctrl_c() == 0


@pytest.mark.slow
def test_a_port_in_use_and_a_second_serve_are_one_sentence_each(
    serve: Callable[[], Serve],
) -> None:
    running = serve()
    running.wait_for("Viesti is running")
    second = serve()
    assert second.process.wait(TIMEOUT_S) == 1
    assert re.fullmatch(r"viesti: viesti serve is running on .* already\.\n", second.output())
    elsewhere = {
        **running.environment,
        PREFIX + "DATA_DIR": str(running.settings.data_dir.with_name("elsewhere")),
    }
    third = subprocess.run(
        [sys.executable, "-m", "viesti", "serve"],
        check=False,
        capture_output=True,
        text=True,
        env=elsewhere,
    )
    assert third.returncode == 1
    assert f"Port {running.settings.port} of 127.0.0.1 cannot be listened on" in third.stderr


def is_ready(settings: Settings) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{settings.port}/ready") as answer:
            return answer.status == 200
    except OSError:
        return False


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a dead one may wait a while for init to take note of it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
