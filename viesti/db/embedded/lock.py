"""File locks between the processes that use one embedded server.

The kernel drops them with the process, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path


def open_file(path: Path) -> int:
    """A descriptor to lock; closing it gives the lock up. Programs that are run do not get it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def held(path: Path) -> Generator[None]:
    """Alone until the block ends; waits for whoever is inside."""
    fd = open_file(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
