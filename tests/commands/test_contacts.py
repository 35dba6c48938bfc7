"""``viesti contacts import``."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import psycopg

from viesti.domain.accounts.service import create_account
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.supervisor import program


def run(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program(), "contacts", "import", *words, "--json"],
        env={**os.environ, **to_environment(settings)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_file_is_imported_into_an_account(settings: Settings, tmp_path: Path) -> None:
    settings = replace(settings, simulator=False)
    with psycopg.connect(settings.database_url) as conn:
        account = str(create_account(conn, name="Acme", balance_micros=0, now=utc_now()).id)
    file = tmp_path / "contacts.csv"
    file.write_text("Mobile;First Name\n3475550101;Ann\n12345;Bad\n")
    done = run(settings, str(file), "--account", account)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["submitted"], told["success"], told["inserted"]) == (2, 1, 1)
    assert told["errors"][0]["row"] == 2
    file.write_text("Name\nAnn\n")
    refused = run(settings, str(file), "--account", account)
    assert refused.returncode == 1
    assert json.loads(refused.stderr)["error"]["code"] == "IMP-002"
    missing = run(settings, str(tmp_path / "none.csv"), "--account", account)
    assert missing.returncode == 1
