"""The pages in docs/ and the program say the same; no link leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from litestar.routes import HTTPRoute
from psycopg_pool import ConnectionPool
from typer.main import get_command

import viesti
from viesti.api.app import create_app
from viesti.api.errors import CATALOGUE
from viesti.cli import app as cli
from viesti.domain.messages.states import Status
from viesti.domain.templates.helpers import HELPERS
from viesti.events.catalogue import EventType
from viesti.kit.config import Settings, describe
from viesti.webhooks.retry import MAX_ATTEMPTS, SCHEDULE_S

ROOT = Path(viesti.__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """The fragments by which a forge links to the headings of a page."""
    headings = HEADING.findall(FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in LINK.findall(FENCE.sub("", text)):
        if link.startswith(("http://", "https://")):
            continue
        file, _, fragment = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if fragment:
            assert fragment in anchors(target.read_text(encoding="utf-8")), link


def test_the_operations_page_holds_the_settings_table() -> None:
    lines = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for info in describe():
        default = f"`{info.default}`" if info.default else ""
        lines.append(f"| `{info.variable}` | {default} | {info.help} |")
    table = "\n".join(lines)
    assert table in page("operations.md"), f"put this into docs/operations.md:\n{table}"


def test_every_command_stands_in_the_operations_page() -> None:
    text = page("operations.md")
    for name, command in get_command(cli).commands.items():  # type: ignore[attr-defined]
        for full in [f"{name} {sub}" for sub in getattr(command, "commands", {})] or [name]:
            assert f"viesti {full}" in text, full


def test_the_api_page_lists_every_route(
    settings: Settings, pool: ConnectionPool[psycopg.Connection]
) -> None:
    calls = re.findall(r"`(GET|POST|PUT|DELETE) ([^`\s?]+)`", page("api.md"))
    told = {(method, nameless(path)) for method, path in calls}
    served = {
        (method, nameless(route.path.replace("/v1/accounts/{account_id:str}", "A")))
        for route in create_app(settings, pool).routes
        if isinstance(route, HTTPRoute)
        for method in route.methods - {"OPTIONS", "HEAD"}
    }
    # The other spelling of the token's address is told in words.
    assert served - {("POST", "/v1/oauth2/token")} == told


def nameless(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def test_the_api_page_knows_states_and_helpers() -> None:
    text = page("api.md")
    assert all(f"`{status.value}`" in text for status in Status if status is not Status.INVALID)
    assert all(f"{{{{{name} " in text for name in HELPERS)
    assert "[error codes](error-codes.md)" in text
    assert set(re.findall(r"\b(?:CONT|CONV|MSG|ACCT|GEN|TMPL|WEBH|JOB)-\d{3}\b", text)) <= set(
        CATALOGUE
    )


def test_the_webhook_page_knows_events_and_schedule() -> None:
    text = page("webhooks.md")
    assert all(f"`{kind.value}`" in text for kind in EventType)
    waits = [
        "0"
        if s == 0
        else f"{s:g} s"
        if s < 60
        else f"{s / 60:g} min"
        if s < 3600
        else f"{s / 3600:g} h"
        for s in SCHEDULE_S
    ]
    assert len(waits) == MAX_ATTEMPTS
    assert f"| Wait | {' | '.join(waits)} |" in text
