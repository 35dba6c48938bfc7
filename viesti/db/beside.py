"""Does a transaction's statements in a thread while the caller goes on without its connection.

For bulk sends: the server stores ten thousand rows on one processor while Python makes the next
ones on another.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

R = TypeVar("R")
S = TypeVar("S")


def beside(statements: Callable[[], R], meanwhile: Callable[[], S]) -> tuple[R, S]:
    """What ``statements``, in a thread of its own, and ``meanwhile``, in this one, give.

    ``meanwhile`` must not touch the connection that ``statements`` uses. Both have ended when
    this returns or raises what one of them raised, ``meanwhile`` before ``statements``.
    """
    with ThreadPoolExecutor(1, "beside") as thread:
        stored = thread.submit(statements)
        found = meanwhile()
        return stored.result(), found
