"""``viesti serve`` and the roles that it runs, each also a command of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from viesti.bootstrap import open_installation
from viesti.commands.perform import FAILED, guard, out
from viesti.kit.config import ConfigError, Settings, load_settings
from viesti.kit.errors import ViestiError
from viesti.kit.log import set_up
from viesti.kit.ports import check_port
from viesti.kit.process import follow_supervisor, name_process, tune_interpreter

log = structlog.get_logger()

# Imported inside each command: a role loads what it runs and no more.


def serve() -> None:
    """Run everything on this machine: database, API, dispatch, work, and the simulator."""
    from viesti.serve import serve as run

    raise SystemExit(guard(False, lambda: {"code": run(load_settings(), out)})["code"])


def api() -> None:
    """Serve the v1 API (and the hub)."""

    def start(settings: Settings) -> None:
        from viesti.api.app import run

        check_port(settings.host, settings.port, "VIESTI_PORT")
        run(settings)

    _run_role("api", start)


def dispatch() -> None:
    """Carry texts to the carriers, and receipts and inbound texts back."""

    def start(settings: Settings) -> None:
        from viesti.bootstrap import run_dispatch

        run_dispatch(settings)

    _run_role("dispatch", start)


def work() -> None:
    """Deliver webhooks, run jobs, clean up."""

    def start(settings: Settings) -> None:
        from viesti.bootstrap import run_work

        run_work(settings)

    _run_role("work", start)


def simulate() -> None:
    """Run a phone network in a box: SMPP 3.4 and a page with its handsets."""

    def start(settings: Settings) -> None:
        import asyncio

        from viesti.bootstrap import SIMULATOR_SYSTEM_ID
        from viesti.carriers.simulator.server import run_simulator
        from viesti.carriers.simulator.settings import SimulatorSettings

        simulator = SimulatorSettings(
            smpp_port=settings.simulator_port,
            http_port=settings.simulator_http_port,
            accounts={SIMULATOR_SYSTEM_ID: settings.simulator_password},
            receipt_delay_s=settings.simulator_receipt_delay_s,
            log_folder=settings.data_dir / "simulator",
        )
        check_port(simulator.host, simulator.smpp_port, "VIESTI_SIMULATOR_PORT")
        check_port(simulator.http_host, simulator.http_port, "VIESTI_SIMULATOR_HTTP_PORT")
        asyncio.run(run_simulator(simulator))

    _run_role("simulate", start)


def _run_role(name: str, start: Callable[[Settings], None]) -> None:
    """Follow the supervisor, open the installation, then hand the complete settings over."""

    def run() -> dict[str, Any]:
        follow_supervisor()
        name_process(f"viesti {name}")
        settings = load_settings()
        set_up(settings, name)
        try:
            with open_installation(settings) as installation:
                tune_interpreter()
                start(installation.settings)
        except (ViestiError, ConfigError):
            raise
        except Exception:
            log.exception("role_crashed")
            raise SystemExit(FAILED) from None
        return {}

    guard(False, run)
