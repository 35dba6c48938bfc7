"""Runs the roles as processes of their own: starts, watches, restarts and stops them in order.

``viesti serve`` calls ``Supervisor``. Each role is the ``viesti`` program again, so that its
command line names it. The supervisor itself serves nobody: it has nothing to crash over.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import structlog

from viesti.kit.process import SUPERVISOR_VARIABLE

log = structlog.get_logger()

BACKOFF_FIRST_S = 0.5
BACKOFF_MOST_S = 30.0
# A role that ran this long before it crashed starts again without a longer wait.
STEADY_S = 60.0
POLL_S = 0.1
WRONG_USAGE = 2  # exit code of a role whose settings are wrong: starting it again is no use


@dataclass(frozen=True, slots=True)
class Role:
    """One process: ``name`` is its command, ``stop_s`` how long it may take to end well."""

    name: str
    number: int = 1
    stop_s: float = 15.0

    @property
    def title(self) -> str:
        return self.name if self.number == 1 else f"{self.name}-{self.number}"


class RoleProcess:
    """A role, its present process if it has one, and when it may start again."""

    def __init__(self, role: Role, environment: Mapping[str, str]) -> None:
        self.role = role
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._backoff_s = BACKOFF_FIRST_S
        self.start_at_s = 0.0

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        self._child = subprocess.Popen(
            [*program(), self.role.name],
            stdin=subprocess.DEVNULL,
            env={**self._environment, SUPERVISOR_VARIABLE: str(os.getpid())},
            # A group of its own: Ctrl-C reaches the supervisor alone, which stops in order.
            process_group=0,
        )
        self._started_s = time.monotonic()

    def find_exit(self) -> int | None:
        """The exit code of a process that ended since the last look, which is then forgotten."""
        if self._child is None or (code := self._child.poll()) is None:
            return None
        self._kill_group()  # what it left behind would hold its ports
        self._child = None
        if time.monotonic() - self._started_s > STEADY_S:
            self._backoff_s = BACKOFF_FIRST_S
        self.start_at_s = time.monotonic() + self._backoff_s
        self._backoff_s = min(self._backoff_s * 2, BACKOFF_MOST_S)
        return code

    @property
    def restart_in_s(self) -> float:
        return max(0.0, self.start_at_s - time.monotonic())

    def ask_to_stop(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def wait(self, hurry: threading.Event) -> None:
        """Wait for the end; after ``stop_s``, or when ``hurry`` is set, kill."""
        if self._child is None:
            return
        deadline = time.monotonic() + self.role.stop_s
        while self._child.poll() is None:
            if hurry.is_set() or time.monotonic() > deadline:
                log.warning("role_killed", of=self.role.title)
                break
            time.sleep(POLL_S / 4)
        self._kill_group()
        self._child.wait()
        self._child = None

    def _kill_group(self) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)


class Supervisor:
    """Keeps ``roles`` running; starts them in their order and stops them in ``stop_order``."""

    def __init__(
        self,
        roles: Sequence[Role],
        environment: Mapping[str, str],
        *,
        stop_order: Sequence[str],
        each_second: Callable[[], object] | None = None,
    ) -> None:
        self.processes = [RoleProcess(role, environment) for role in roles]
        self._stop_order = list(stop_order)
        self._each_second = each_second
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self.failed = False

    def handle_signals(self) -> None:
        """SIGINT and SIGTERM stop; a second one does not wait for anybody."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    def start(self) -> None:
        for process in self.processes:
            process.start()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def run(self) -> None:
        """Watch until a stop is asked for, or a role says that its settings are wrong."""
        next_look_s = 0.0
        while not self._stopping.wait(POLL_S):
            self.look()
            if self._each_second is not None and time.monotonic() >= next_look_s:
                next_look_s = time.monotonic() + 1.0
                self._each_second()

    def look(self) -> None:
        """One round: notice who ended, start again whose wait is over."""
        for process in self.processes:
            code = process.find_exit()
            if code == WRONG_USAGE:
                log.error("role_refused_settings", of=process.role.title)
                self.failed = True
                self._stopping.set()
                return
            if code is not None:
                log.error(
                    "role_ended",
                    of=process.role.title,
                    exit_code=code,
                    restart_in_s=round(process.restart_in_s, 1),
                )
            if process.pid is None and process.restart_in_s == 0.0:
                process.start()
                log.info("role_restarted", of=process.role.title, pid=process.pid)

    def stop(self) -> None:
        """End the roles, one kind after the other, each given its time to finish."""
        for name in self._stop_order:
            of_kind = [process for process in self.processes if process.role.name == name]
            for process in of_kind:
                process.ask_to_stop()
            for process in of_kind:
                process.wait(self._hurry)


def program() -> list[str]:
    """How to start viesti again: its installed script, else the module."""
    script = Path(sys.executable).with_name("viesti")
    if script.is_file() and os.access(script, os.X_OK):
        return [str(script)]
    return [sys.executable, "-m", "viesti"]


def shown_program() -> str:
    """What a person types for ``program()`` in the present folder."""
    path = Path(program()[0])
    if (found := shutil.which("viesti")) and Path(found).samefile(path):
        return "viesti"
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
