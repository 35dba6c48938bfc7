"""Invariant 8, its other half: no statement outside ``progress`` moves a message."""

from __future__ import annotations

import re
from pathlib import Path

import viesti

ROOM = Path(viesti.__file__).parent
# A text that finds no credit is suspended by the very transaction that wrote it.
ALLOWED = {"domain/messages/progress.py", "domain/messages/store.py"}
UPDATE = re.compile(r"UPDATE messages\b(?:(?!WHERE|\"\"\").)*?\bstatus\s*=", re.DOTALL)


def test_one_file_alone_changes_the_status_of_a_message() -> None:
    found = {
        str(path.relative_to(ROOM))
        for path in ROOM.rglob("*.py")
        if UPDATE.search(path.read_text(encoding="utf-8"))
    }
    assert found <= ALLOWED
    assert "domain/messages/progress.py" in found
