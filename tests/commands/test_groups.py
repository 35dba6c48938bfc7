"""``viesti group`` and ``viesti user``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool
from typer.testing import CliRunner

from tests.messaging_rig import SENDER, Rig
from viesti.cli import app
from viesti.kit.config import Settings, to_environment

Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def rig(pool: ConnectionPool[psycopg.Connection]) -> Rig:
    return Rig(pool).set_up()


@pytest.fixture
def ask(settings: Settings, rig: Rig) -> Ask:
    """Exit code and JSON of a command about the rig's account."""

    def ask(*words: str) -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(
            app,
            [*words, "--account", str(rig.account_id), "--json"],
            env=to_environment(settings),
        )
        return done.exit_code, json.loads(done.stdout if done.exit_code == 0 else done.stderr)

    return ask


def test_a_group_is_made_filled_and_listed(ask: Ask, rig: Rig) -> None:
    code, made = ask("group", "create", "--name", "Sales", "--tag", "a", "--tag", "b")
    assert code == 0
    assert (made["name"], made["tags"], made["useSharedPool"]) == ("Sales", ["a", "b"], False)
    group = ["--group", made["groupId"]]
    email = ["--email", "ada@example.org"]
    assert ask("group", "add-user", *group, *email)[0] == 1
    code, user = ask("user", "add", *email, "--role", "campaign_manager", "--first-name", "Ada")
    assert (code, user["role"], user["name"]) == (0, "campaign_manager", "Ada")
    assert ask("user", "list") == (0, {"users": [user]})
    assert ask("group", "add-user", *group, *email)[1]["users"] == ["ada@example.org"]
    assert ask("group", "add-sender", *group, "--number", SENDER)[1]["senders"] == [SENDER]
    code, listed = ask("group", "list")
    assert [(row["name"], row["senders"], row["users"]) for row in listed["groups"]] == [
        ("Default", [], []),
        ("Sales", [SENDER], ["ada@example.org"]),
    ]
    assert listed["groups"][0]["groupId"] == str(rig.account_id)
    assert ask("group", "remove-user", *group, *email)[1]["users"] == []


def test_what_is_refused_says_why(ask: Ask) -> None:
    code, refusal = ask("group", "add-sender", "--group", "nonsense", "--number", SENDER)
    assert (code, refusal["error"]["code"]) == (1, "GRP-001")
    code, refusal = ask("user", "add", "--email", "nobody")
    assert (code, refusal["error"]["code"]) == (1, "GEN-400")


def test_people_get_lines(settings: Settings, rig: Rig) -> None:
    words = ["group", "create", "--account", str(rig.account_id), "--name", "Sales", "--tag", "a"]
    env = to_environment(settings)
    made = CliRunner().invoke(app, words, env=env)
    assert made.exit_code == 0
    assert "name           Sales\ntags           a\n" in made.stdout
    shown = CliRunner().invoke(app, ["group", "list", "--account", str(rig.account_id)], env=env)
    assert f"{rig.account_id}  Default  {SENDER}\n" in shown.stdout
