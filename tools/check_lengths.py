"""Fail if a source file is too long to be read in one go; `make lengths` calls it."""

from __future__ import annotations

import sys
from pathlib import Path

LIMIT = 350
TEST_LIMIT = 600  # a table of cases is long and still one thing
# A migration is written once and never split.
EXEMPT = ("viesti/db/migrations/versions",)


def main() -> int:
    root = Path(__file__).parent.parent
    too_long = 0
    for folder, limit in (("viesti", LIMIT), ("tools", LIMIT), ("tests", TEST_LIMIT)):
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > limit and not name.startswith(EXEMPT):
                print(f"{name} has {lines} lines, more than {limit}: split it by noun.")
                too_long += 1
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
