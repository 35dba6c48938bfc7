"""``viesti status``: as a script reads it, and as a person sees it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import psycopg
import pytest
from psycopg_pool import ConnectionPool
from rich.console import Console

from tests.messaging_rig import Rig
from tests.monitoring.test_gauges import example
from viesti.commands.status import Looks
from viesti.commands.status_screen import draw
from viesti.kit.config import Settings, to_environment
from viesti.monitoring.models import Carrier, Errors, Queue, Status


def command(settings: Settings, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "viesti", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **to_environment(settings), "COLUMNS": "80"},
    )


def screen(status: Status, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(draw(status))
    return console.export_text()


def test_a_script_gets_one_object(
    settings: Settings, pool: ConnectionPool[psycopg.Connection]
) -> None:
    rig = Rig(pool).set_up()
    rig.send_one()
    stdout, stderr = command(settings, "status", "--json").communicate(timeout=60)
    assert stdout.count("\n") == 1, stderr
    said = json.loads(stdout)
    assert (said["queue"]["waiting"], said["carriers"][0]["queue"]["waiting"]) == (1, 1)
    assert said["lanes"][0]["accountId"] == str(rig.account_id)
    stdout, _ = command(settings, "status").communicate(timeout=60)
    assert "waiting 1" in stdout
    assert "Acme" in stdout


def test_a_watch_gives_an_object_a_line_until_it_is_interrupted(settings: Settings) -> None:
    watch = command(settings, "status", "--watch", "--json", "--every", "0.2")
    assert watch.stdout is not None
    first, second = (json.loads(watch.stdout.readline()) for _ in range(2))
    assert first["at"] < second["at"]
    watch.send_signal(signal.SIGINT)
    _, stderr = watch.communicate(timeout=60)
    assert watch.returncode == 0
    assert stderr == ""


def test_a_watch_outlives_a_lost_connection(dsn: str) -> None:
    looks = Looks(dsn)
    assert looks.take() is not None
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'viesti status'"
        )
    assert looks.take() is None
    assert "does not answer" in looks.trouble
    assert looks.take() is not None
    looks.close()


@pytest.mark.parametrize("width", [80, 120])
def test_everything_stands_on_the_screen(width: int) -> None:
    text = screen(example(), width)
    for words in ("waiting 6,131", "held 1", "oldest waiting 10 s", "for later 12", "MSG-019 3"):
        assert words in text
    for words in ("simulator", "1/1", "10:00:00", "400", "399", "0.4", "+12015550100", "Shop"):
        assert words in text
    for words in ("2 endpoints", "retrying 40", "failing endpoints 1", "dead 1"):
        assert words in text
    assert max(len(line) for line in text.splitlines()) <= width


def test_what_is_wrong_is_said() -> None:
    down = Carrier(example().carriers[0].id, "real", "smpp", True, 0.0, 2)
    off = Carrier(example().carriers[0].id, "old", "smpp", False, 0.0, 1)
    text = screen(
        replace(
            example(),
            processes=[replace(example().processes[0], silent_s=80.0, is_alive=False)],
            carriers=[down, off],
            queue=Queue(waiting=2_000_000, is_exact=False),
            errors=Errors(600, 50_000, {}, is_exact=False),
            strays=3,
        )
    )
    for words in ("silent for 1 min", "0/2", "old (off)", "~2,000,000", "3 rows lie outside"):
        assert words in text
    assert "none among 50,000+ texts" in text


def test_nothing_at_all_is_said_too() -> None:
    text = screen(replace(example(), processes=[], carriers=[], lanes=[]))
    assert "No role process runs" in text
    assert "There is no carrier" in text
