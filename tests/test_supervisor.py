"""viesti/supervisor.py and kit/process.py, on small programs in the roles' place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from viesti import supervisor
from viesti.supervisor import Role, Supervisor

# A role: notes its start and its end in the file LOG names; how it ends, it is told by its name.
PROGRAM = """
import os, signal, sys, time
name = sys.argv[-1]
def note(what):
    with open(os.environ["LOG"], "a") as log:
        log.write(f"{name} {what}\\n")
def stop(*_):
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if name == "stubborn" else stop)
note(f"started {os.getpid()}")
if name == "wrong":
    sys.exit(2)
if name == "crashing":
    sys.exit(1)
while True:
    time.sleep(0.05)
"""

SUPERVISING = """
import os, sys
from viesti import supervisor
from viesti.supervisor import Role, Supervisor
supervisor.program = lambda: [sys.executable, sys.argv[1]]
watched = Supervisor([Role("child")], os.environ, stop_order=["child"])
watched.start()
print("started", flush=True)
watched.run()
"""


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    def starts(self, name: str) -> list[int]:
        prefix = f"{name} started "
        return [int(line.removeprefix(prefix)) for line in self.lines() if line.startswith(prefix)]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    monkeypatch.setattr(supervisor, "program", lambda: [sys.executable, str(program)])
    return Journal(tmp_path / "log")


def watch(journal: Journal, *roles: Role, stop_order: list[str] | None = None) -> Supervisor:
    environment = {**os.environ, "LOG": str(journal.path)}
    order = stop_order or [role.name for role in roles]
    return Supervisor(roles, environment, stop_order=order)


def until(seen: Callable[[], bool], look: Callable[[], object] = lambda: None) -> None:
    deadline = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < deadline
        look()
        time.sleep(0.02)


def test_a_role_that_ended_is_started_again_with_growing_waits(journal: Journal) -> None:
    watched = watch(journal, Role("crashing"))
    watched.start()
    (process,) = watched.processes
    waits: list[float] = []
    while len(waits) < 3:
        had = process.pid
        watched.look()
        if had is not None and process.pid is None:
            waits.append(process.restart_in_s)
            process.start_at_s = 0.0  # the test does not wait
        time.sleep(0.02)
    watched.stop()
    assert [round(wait, 1) for wait in waits] == [0.5, 1.0, 2.0]
    assert len(set(journal.starts("crashing"))) >= 3


def test_a_killed_role_comes_back_while_the_others_go_on(journal: Journal) -> None:
    watched = watch(journal, Role("one"), Role("two"))
    watched.start()
    until(lambda: bool(journal.starts("one") and journal.starts("two")))
    os.kill(journal.starts("one")[0], signal.SIGKILL)
    until(lambda: len(journal.starts("one")) == 2, watched.look)
    watched.stop()
    assert len(journal.starts("two")) == 1


def test_roles_stop_in_the_order_given(journal: Journal) -> None:
    watched = watch(journal, Role("one"), Role("two"), Role("two", 2), stop_order=["two", "one"])
    watched.start()
    until(lambda: len(journal.lines()) == 3)
    watched.stop()
    assert journal.lines()[3:] == ["two stopped", "two stopped", "one stopped"]


def test_a_role_that_does_not_stop_in_its_time_is_killed(journal: Journal) -> None:
    watched = watch(journal, Role("stubborn", stop_s=0.2))
    watched.start()
    until(lambda: bool(journal.starts("stubborn")))
    watched.stop()
    assert not psutil.pid_exists(journal.starts("stubborn")[0])


def test_a_role_whose_settings_are_wrong_ends_everything(journal: Journal) -> None:
    watched = watch(journal, Role("one"), Role("wrong"))
    watched.start()
    watched.run()
    watched.stop()
    assert watched.failed
    assert len(journal.starts("wrong")) == 1


def test_each_role_is_in_a_group_of_its_own_so_that_ctrl_c_reaches_the_supervisor_alone(
    journal: Journal,
) -> None:
    watched = watch(journal, Role("one"))
    watched.start()
    pid = watched.processes[0].pid
    assert pid is not None
    assert os.getpgid(pid) == pid
    watched.stop()


def test_roles_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        "from viesti.kit.process import follow_supervisor, name_process\n"
        "follow_supervisor()\nname_process('viesti child')\n" + PROGRAM
    )
    journal = Journal(tmp_path / "log")
    parent = subprocess.Popen(
        [sys.executable, "-c", SUPERVISING, str(child)],
        env={**os.environ, "LOG": str(journal.path)},
        stdout=subprocess.DEVNULL,
    )
    until(lambda: bool(journal.starts("child")))
    process = psutil.Process(journal.starts("child")[0])
    assert process.name() == "viesti child"
    assert process.cmdline()[-1] == "child"
    parent.kill()
    parent.wait()
    until(lambda: "child stopped" in journal.lines())


def test_a_role_is_the_viesti_program_so_that_its_command_line_names_it() -> None:
    line = " ".join([*supervisor.program(), "dispatch"])
    assert line.endswith("viesti dispatch")
