"""A bounded map whose entries are forgotten after a set time; used for what auth remembers."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from viesti.kit.clock import monotonic_s

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class FreshCache(Generic[K, V]):
    """Safe to use from several threads: each step is one operation on a dict."""

    def __init__(self, fresh_s: float, max_size: int) -> None:
        self._fresh_s = fresh_s
        self._max_size = max_size
        self._entries: dict[K, tuple[float, V]] = {}

    def __contains__(self, key: K) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry[0] > monotonic_s()

    def find(self, key: K) -> V | None:
        """The value put under ``key`` less than ``fresh_s`` seconds ago."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and entry[0] > monotonic_s() else None

    def put(self, key: K, value: V) -> None:
        if len(self._entries) >= self._max_size:
            # All at once: what is asked for again costs one look into the database.
            self._entries.clear()
        self._entries[key] = (monotonic_s() + self._fresh_s, value)

    def forget(self, key: K) -> None:
        self._entries.pop(key, None)
