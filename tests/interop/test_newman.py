"""The Postman collection in docs/, run by newman as its README page tells people to run it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Platform, start_platform
from tools.postman import COLLECTION, ENVIRONMENT
from tools.postman_steps import FOLDERS
from viesti.api.openapi.document import document

pytestmark = pytest.mark.interop

# Installed by `make .venv/.node`.
NODE = Path(sys.prefix) / "bin" / "node"
NEWMAN = Path(sys.prefix) / "newman" / "node_modules" / "newman" / "bin" / "newman.js"


@pytest.fixture(scope="module")
def platform() -> Generator[Platform]:
    yield from start_platform()


@pytest.fixture(scope="module")
def newman() -> list[str]:
    assert NEWMAN.is_file(), (
        "newman is not installed: run `make .venv/.node`, then this test again."
    )
    return [str(NODE), str(NEWMAN)]


def test_every_request_of_the_collection_is_answered_as_documented_run_after_run(
    newman: list[str], platform: Platform, tmp_path: Path
) -> None:
    account = platform.account("--balance", "100")
    values = {
        "BaseUrl": platform.base,
        "AccountId": account.account_id,
        "ClientId": account.client_id,
        "ClientSecret": account.client_secret,
    }
    given = [word for name, value in values.items() for word in ("--env-var", f"{name}={value}")]
    operations = sum(len(methods) for methods in document()["paths"].values())
    again = sum(step.extra for steps in FOLDERS.values() for step in steps)
    for run in range(2):
        report = tmp_path / f"report-{run}.json"
        done = subprocess.run(
            [
                *(*newman, "run", COLLECTION, "--environment", ENVIRONMENT, *given, "--bail"),
                *("--color", "off", "--reporters", "cli,json", "--reporter-json-export", report),
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=COLLECTION.parent,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said: dict[str, Any] = json.loads(report.read_text())["run"]
        assert said["failures"] == []
        assert said["stats"]["requests"] == {
            "total": operations + again,
            "pending": 0,
            "failed": 0,
        }
        assert said["stats"]["assertions"]["total"] > operations
        assert said["stats"]["assertions"]["failed"] == 0
