"""The commands as scripts use them: real processes, stdout, stderr and exit codes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from viesti import __version__
from viesti.kit.config import Settings, to_environment
from viesti.kit.ids import find_id

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(settings: Settings) -> Run:
    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "viesti", *words],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, **to_environment(settings), **variables},
        )

    return run


def one_object(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def refusal(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 1
    assert done.stdout == ""
    return json.loads(done.stderr)["error"]


def test_an_account_is_made_topped_up_and_given_and_refused_credentials(
    run: Run, conn: psycopg.Connection
) -> None:
    made = one_object(run("account", "create", "--name", "Shop", "--json"))
    assert list(made) == ["accountId", "clientId", "clientSecret", "sender"]
    assert made["sender"].startswith("+1")
    row = conn.execute(
        "SELECT available_micros, notice, quiet_hours FROM balances"
        " JOIN accounts ON id = account_id WHERE id = %s",
        [find_id(made["accountId"])],
    ).fetchone()
    assert row == (1_000_000_000, False, False)

    account = ("--account", made["accountId"])
    added = one_object(run("account", "top-up", *account, "--amount", "12.5", "--json"))
    assert added["accountId"] == made["accountId"]
    assert added["balance"] == 1012.5

    second = one_object(run("credentials", "create", *account, "--profile", "live", "--json"))
    assert list(second) == ["accountId", "clientId", "clientSecret"]
    client = ("--client", second["clientId"])
    assert one_object(run("credentials", "revoke", *account, *client, "--json"))["revokedAt"]
    listed = one_object(run("credentials", "list", *account, "--json"))["credentials"]
    assert [(one["clientId"], one["profile"], bool(one["revokedAt"])) for one in listed] == [
        (made["clientId"], "published", False),
        (second["clientId"], "live", True),
    ]


def test_an_account_takes_a_sender_of_a_carrier_that_was_added(
    run: Run, conn: psycopg.Connection
) -> None:
    smsc = ("--kind", "smpp", "--host", "smsc.example.com", "--port", "2775")
    login = ("--system-id", "us", "--password", "hush")
    added = one_object(run("carrier", "add", "--name", "real", *smsc, *login, "--json"))
    assert added["name"] == "real"
    made = one_object(
        run(
            *("account", "create", "--name", "Shop", "--carrier", "real", "--balance", "0.000001"),
            *("--sender", "+12125550123", "--notice", "on", "--quiet-hours", "on", "--json"),
        )
    )
    assert made["sender"] == "+12125550123"
    sender = ("--account", made["accountId"], "--carrier", "real")
    second = one_object(run("sender", "add", *sender, "--number", "12345", "--json"))
    assert second["number"] == "12345"
    rows = conn.execute("SELECT number FROM senders ORDER BY number").fetchall()
    assert rows == [("+12125550123",), ("12345",)]
    again = refusal(run("sender", "add", *sender, "--number", "12345", "--json"))
    assert again["code"] == "GEN-409"


def test_a_refusal_leaves_nothing_behind(run: Run, conn: psycopg.Connection) -> None:
    refused = refusal(run("account", "create", "--name", "Shop", "--sender", "+1", "--json"))
    assert refused["code"] == "GEN-400"
    assert conn.execute("SELECT count(*) FROM accounts").fetchone() == (0,)


def test_a_database_that_does_not_answer_is_one_sentence(run: Run) -> None:
    gone = "postgresql://viesti@127.0.0.1:1/viesti"
    refused = refusal(
        run(
            "account",
            "create",
            "--name",
            "Shop",
            "--json",
            VIESTI_DATABASE_URL=gone,
            VIESTI_DATABASE_DIRECT_URL="",
        )
    )
    assert refused["code"] == "GEN-503"
    assert "does not answer" in refused["message"]


def test_another_platform_key_is_refused(run: Run) -> None:
    one_object(run("account", "create", "--name", "Shop", "--json"))
    done = run("account", "create", "--name", "Shop", VIESTI_SECRET_KEY="A" * 43 + "=")
    assert done.returncode == 2
    assert "not the one that this database was set up with" in done.stderr


def test_wrong_settings_and_wrong_usage_end_with_2(run: Run) -> None:
    for command in (["serve"], ["dispatch"], ["doctor"], ["account", "create", "--name", "x"]):
        done = run(*command, VIESTI_PORT="x")
        assert done.returncode == 2
        assert done.stderr == "viesti: VIESTI_PORT must be a whole number from 1 to 65535.\n"
        assert done.stdout == ""
    done = run("account", "create", "--name", "x", "--json", VIESTI_PORT="x")
    assert done.returncode == 2
    assert json.loads(done.stderr)["error"]["code"] == "CONFIG"
    assert run("account", "create").returncode == 2
    assert run("nonsense").returncode == 2


def test_version_and_settings_can_be_asked_for(run: Run) -> None:
    assert run("--version").stdout == f"viesti {__version__}\n"
    shown = one_object(run("config", "--json", VIESTI_SIMULATOR_PASSWORD="hush"))["settings"]
    values = {one["variable"]: one["value"] for one in shown}
    assert values["VIESTI_SIMULATOR_PASSWORD"] == "(set)"
    assert values["VIESTI_DEMO"] == "off"


def test_doctor_names_what_is_wrong_and_what_to_do(run: Run, conn: psycopg.Connection) -> None:
    one_object(run("account", "create", "--name", "Shop", "--json"))
    checks = one_object(run("doctor", "--json"))["checks"]
    found = {check["name"]: check for check in checks}
    assert found["database"]["status"] == "warning"  # the tests' server has fsync off
    assert "fsync off" in found["database"]["detail"]
    assert found["migrations"]["status"] == "ok"
    assert found["key"]["status"] == "ok"
    assert found["clock"]["status"] == "ok"
    assert found["disk"]["status"] == "ok"
    assert found["carrier simulator"]["advice"] == "Start `viesti serve`."
    conn.execute("UPDATE alembic_version SET version_num = '0000'")
    conn.commit()
    done = run("doctor", "--json")
    assert done.returncode == 1
    broken = json.loads(done.stdout)
    assert broken["ok"] is False
    assert any(c["name"] == "migrations" and c["status"] == "failed" for c in broken["checks"])
    assert "migrations" in run("doctor").stdout


def test_migrate_says_which_version_the_database_has(run: Run, empty_dsn: str) -> None:
    urls = {"VIESTI_DATABASE_URL": empty_dsn, "VIESTI_DATABASE_DIRECT_URL": ""}
    refused = refusal(run("credentials", "list", "--account", "x", "--json", **urls))
    assert "run `viesti migrate`" in refused["message"]
    assert one_object(run("migrate", "--json", **urls))["version"]


@pytest.mark.parametrize(
    ("role", "variable"),
    [
        ("api", "VIESTI_PORT"),
        ("simulate", "VIESTI_SIMULATOR_PORT"),
        ("simulate", "VIESTI_SIMULATOR_HTTP_PORT"),
    ],
)
def test_a_role_whose_port_is_taken_says_so_and_ends(run: Run, role: str, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        done = run(role, **{variable: str(port)})
    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 cannot be listened on" in done.stderr
    assert f"set {variable} to another" in done.stderr
    assert len(done.stderr.splitlines()) == 1
