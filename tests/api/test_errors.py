"""The catalogue of error codes is complete, and its statuses are what the API answers."""

from __future__ import annotations

import re
from pathlib import Path

import viesti
from viesti.api.errors import CATALOGUE, status_of
from viesti.kit.codes import as_markdown, describe
from viesti.kit.errors import Conflict, Invalid, NotFound, Unavailable

CODE = re.compile(r'"([A-Z]+-[0-9]{3})"')
TOLD = re.compile(r"`([A-Z]{3,4}-[0-9]{3})`")


def test_every_code_that_the_program_can_give_is_in_the_catalogue() -> None:
    root = Path(viesti.__file__).parent
    used = {code for path in root.rglob("*.py") for code in CODE.findall(path.read_text())}
    assert used <= CATALOGUE.keys()


def test_every_code_that_the_documentation_names_is_in_the_catalogue() -> None:
    pages = (Path(viesti.__file__).parents[1] / "docs").rglob("*.md")
    told = {code for page in pages for code in TOLD.findall(page.read_text())}
    assert told <= CATALOGUE.keys() | {"SHA-256"}


def test_every_entry_says_what_happened_and_what_to_do() -> None:
    for code, info in CATALOGUE.items():
        assert info.code == code
        assert info.meaning.endswith(".")
        assert info.action.endswith(".")
        assert info.status == 200 or 400 <= info.status < 600


def test_the_status_is_the_codes_unless_that_stands_inside_answers() -> None:
    assert status_of(NotFound("x", "CONT-002")) == 404
    assert status_of(Invalid("x", "GEN-422")) == 422
    assert status_of(Invalid("x", "MSG-024")) == 400
    assert status_of(Conflict("x", "NEW-001")) == 409
    assert status_of(Unavailable("x")) == 503
    assert describe("NEW-001") == "NEW-001"


def test_the_documentation_prints_the_catalogue() -> None:
    page = Path(viesti.__file__).parents[1] / "docs" / "error-codes.md"
    assert page.read_text() == as_markdown(), "write kit.codes.as_markdown() to the page"
