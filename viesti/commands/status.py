"""``viesti status``: what runs, what waits and how fast it goes, once or as a live screen."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated

import psycopg
import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from viesti.bootstrap import Installation, open_installation
from viesti.commands.perform import Json, Result, guard, out, perform_on_installation, say
from viesti.commands.status_screen import draw
from viesti.db.connections import connect
from viesti.kit.clock import utc_now
from viesti.kit.config import load_settings
from viesti.monitoring.models import Status
from viesti.monitoring.status import read_status
from viesti.monitoring.view import status_view


def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Draw it again and again, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.2, help="With --watch: seconds between two looks.")
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """Show queues, carriers, rates, errors and webhooks of the whole platform."""
    if watch:
        _watch(every, as_json)
        return
    seen: list[Status] = []

    def work(installation: Installation) -> Result:
        with installation.connect() as conn:
            seen.append(read_status(conn, utc_now()))
        return status_view(seen[0])

    perform_on_installation(as_json, work, lambda _: out.print(draw(seen[0])))


def _watch(every_s: float, as_json: bool) -> None:
    def run() -> Result:
        with open_installation(load_settings(), report=say) as installation:
            looks = Looks(installation.settings.database_direct_url)
            try:
                (_lines if as_json or not out.is_terminal else _screen)(looks, every_s, as_json)
            except KeyboardInterrupt:
                pass
            finally:
                looks.close()
        return {}

    guard(as_json, run)


def _lines(looks: Looks, every_s: float, as_json: bool) -> None:
    """One JSON object a line, or one drawing after the other where there is no terminal."""
    while True:
        seen = looks.take()
        if seen is None:
            say(looks.trouble)
        elif as_json:
            sys.stdout.write(json.dumps(status_view(seen), ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            out.print(draw(seen))
        time.sleep(every_s)


def _screen(looks: Looks, every_s: float, _as_json: bool) -> None:
    """The terminal's other page; the last drawing stays behind on the usual one."""
    last: RenderableType = Text("")
    try:
        with Live(console=out, screen=True, auto_refresh=False) as live:
            while True:
                seen = looks.take()
                if seen is not None:
                    last = draw(seen)
                trouble = [] if seen is not None else [Text(looks.trouble, style="red")]
                hint = Text(f"every {every_s:g} s, Ctrl-C to leave", style="dim")
                live.update(Group(*trouble, last, Text(), hint), refresh=True)
                time.sleep(every_s)
    finally:
        out.print(last)


class Looks:
    """Looks at the status over one connection, which is made anew after the database was away."""

    def __init__(self, dsn: str) -> None:
        self.trouble = ""
        self._dsn = dsn
        self._conn: psycopg.Connection | None = None

    def take(self) -> Status | None:
        """None while the database does not answer; ``trouble`` says why."""
        try:
            if self._conn is None:
                self._conn = connect(self._dsn, "status")
            with self._conn.transaction():
                return read_status(self._conn, utc_now())
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self.trouble = f"The database does not answer: {str(error).splitlines()[0]}"
            self.close()
            return None

    def close(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()
