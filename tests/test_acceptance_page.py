"""docs/acceptance.md names tests that are there, for each of the twenty scenarios."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "acceptance.md"
SECTION = re.compile(r"^## (\d+)\. .*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^\| `([\w/]+\.py)::(\w+)` \|", re.MULTILINE)


def test_each_scenario_has_tests_that_exist_or_says_what_is_missing() -> None:
    sections = {
        int(found[1]): found[0] for found in SECTION.finditer(PAGE.read_text(encoding="utf-8"))
    }
    assert list(sections) == list(range(1, 21))
    for number, section in sections.items():
        named = NAMED.findall(section)
        assert named or "Not yet" in section, number
        # No row names something else than a test.
        assert len(named) == section.count("\n| `"), number
        for path, test in named:
            text = (TESTS / path).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), (path, test)
