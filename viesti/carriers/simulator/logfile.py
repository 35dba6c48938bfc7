"""The PDU log as a file of JSON lines, for those who want all of it; off unless a folder is set.

Two files at most: ``pdus.jsonl`` and, once that is full, the one before it. They hold numbers
and texts, so nobody but their owner may read them.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from viesti.carriers.simulator.log import Entry, describe

# Little at a time: nothing else of the simulator goes on while a batch is written.
_FLUSH_S = 0.05
_WAITING_AT_MOST = 20_000


class JsonLinesFile:
    def __init__(self, folder: Path, octets_at_most: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / "pdus.jsonl"
        self._octets_at_most = octets_at_most
        self._waiting: list[Entry] = []
        self._file = _open(self._path)
        self._timer: asyncio.TimerHandle | None = None

    def add(self, entry: Entry) -> None:
        self._waiting.append(entry)
        if len(self._waiting) >= _WAITING_AT_MOST:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        entries, self._waiting = self._waiting, []
        self._file.write(b"".join([msgspec.json.encode(describe(e)) + b"\n" for e in entries]))
        self._file.flush()
        if self._file.tell() >= self._octets_at_most:
            self._file.close()
            self._path.replace(self._path.with_name("pdus.1.jsonl"))
            self._file = _open(self._path)

    def close(self) -> None:
        self.flush()
        self._file.close()


def _open(path: Path) -> BinaryIO:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(fd, 0o600)  # one that was there before, too
    return os.fdopen(fd, "ab")
