"""``viesti serve``: the whole platform on this machine, from the database to the simulator."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import structlog
from rich.console import Console

from viesti import demo
from viesti.bootstrap import Installation, ensure_default_carrier, open_installation
from viesti.db.embedded import Layout
from viesti.kit.config import PREFIX, Settings, to_environment
from viesti.kit.errors import Conflict, Unavailable
from viesti.kit.log import set_up
from viesti.kit.ports import check_port
from viesti.supervisor import Role, Supervisor

log = structlog.get_logger()

# Callers first, so that nobody calls what has gone already; the database after all of them.
STOP_ORDER = ("api", "dispatch", "work", "simulate")
# Dispatch waits for the answers to what it has written, so that nothing stays held.
DISPATCH_STOP_S = 40.0


def serve(settings: Settings, console: Console) -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit code."""
    set_up(settings, "serve")
    Layout(settings.data_dir.absolute()).make_data_dir()
    with _only_one(settings.data_dir / "serve.lock"):
        _check_ports(settings)

        def report(line: str) -> None:
            console.print(f"  [dim]{line}[/dim]")

        with open_installation(settings, upgrade=True, report=report) as installation:
            if settings.simulator:
                ensure_default_carrier(installation)
            return _supervise(installation, settings, console)


def _supervise(installation: Installation, settings: Settings, console: Console) -> int:
    def watch_database() -> None:
        try:
            if installation.database.ensure_running():
                log.error("database_restarted")
        except Unavailable as error:
            log.error("database_does_not_start", error=error.message)

    supervisor = Supervisor(
        _roles(settings),
        _environment(settings),
        stop_order=STOP_ORDER,
        each_second=watch_database,
    )
    supervisor.handle_signals()
    try:
        supervisor.start()
        greeting = threading.Thread(
            target=demo.greet,
            args=(installation, console, lambda: supervisor.is_stopping),
            name="greet",
            daemon=True,
        )
        greeting.start()
        supervisor.run()
        console.print("\nStopping ...")
    finally:
        supervisor.stop()
    return 1 if supervisor.failed else 0


def _roles(settings: Settings) -> list[Role]:
    roles = [Role("simulate")] if settings.simulator else []
    roles.append(Role("api"))
    roles += [
        Role("dispatch", number, DISPATCH_STOP_S) for number in range(1, settings.dispatchers + 1)
    ]
    roles += [Role("work", number) for number in range(1, settings.workers + 1)]
    return roles


def _environment(settings: Settings) -> dict[str, str]:
    """Each role reads the very settings that ``serve`` read, whatever file they came from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**kept, **to_environment(settings)}


@contextmanager
def _only_one(path: Path) -> Generator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"viesti serve is running on {path.parent} already.") from error
        yield
    finally:
        os.close(fd)


def _check_ports(settings: Settings) -> None:
    wanted = [(settings.host, settings.port, "VIESTI_PORT")]
    if settings.simulator:
        wanted.append(("127.0.0.1", settings.simulator_port, "VIESTI_SIMULATOR_PORT"))
        wanted.append(("127.0.0.1", settings.simulator_http_port, "VIESTI_SIMULATOR_HTTP_PORT"))
    for host, port, variable in wanted:
        check_port(host, port, variable)
