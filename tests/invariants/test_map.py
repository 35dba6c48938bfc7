"""docs/invariants.md names tests that are there, for each of the eleven invariants."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "invariants.md"
SECTION = re.compile(r"^## (\d+)\. .*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^\| `([\w/]+\.py)::(\w+)` \|", re.MULTILINE)


def test_each_invariant_has_tests_and_all_of_them_exist() -> None:
    sections = {
        int(found[1]): NAMED.findall(found[0])
        for found in SECTION.finditer(PAGE.read_text(encoding="utf-8"))
    }
    assert list(sections) == list(range(1, 12))
    for number, named in sections.items():
        assert named, number
        for path, test in named:
            text = (TESTS / path).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), (path, test)
