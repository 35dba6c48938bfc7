"""The record of every PDU that crossed the simulated SMSC: a ring, exact counters, a file.

Written by connections for each PDU, so an entry is one tuple and its text is decoded only when
somebody reads it. Read by people on the page and by tests, which rely on the counters.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

from viesti.carriers.smpp.addresses import decode_address
from viesti.carriers.smpp.codec import decode_message
from viesti.carriers.smpp.pdu import COMMAND_NAMES, ESM_UDHI, MessagePdu
from viesti.sms.reassembly import decode_text
from viesti.sms.udh import find_concatenation

IN, OUT = "in", "out"
# Two generations of this many (destination, payload) hashes are kept for spotting duplicates.
_GENERATION = 250_000


# Number, Unix time, direction as the SMSC sees it, bind, command, status, sequence, and a
# message, a message's body or a message id. A plain tuple: four are made for each text.
Content = MessagePdu | bytes | None
Entry = tuple[int, float, str, str, int, int, int, Content]


class PduFile(Protocol):
    """Where entries go besides the ring."""

    def add(self, entry: Entry) -> None: ...


class PduLog:
    def __init__(self, size: int, file: PduFile | None = None) -> None:
        self._file = file
        self._ring: deque[Entry] = deque(maxlen=size)
        self._last = 0
        self._counts: dict[tuple[str, int, int], int] = {}
        self._taken: dict[int, int] = {}
        self._taken_before: dict[int, int] = {}
        self.duplicates = 0
        self.taken = 0

    @property
    def last_number(self) -> int:
        return self._last

    def add(
        self,
        direction: str,
        bind: str,
        command: int,
        status: int,
        sequence: int,
        content: Content = None,
    ) -> None:
        self._last += 1
        entry = (self._last, time.time(), direction, bind, command, status, sequence, content)
        self._ring.append(entry)
        key = (direction, command, status)
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._file is not None:
            self._file.add(entry)

    def count_taken(self, message: MessagePdu) -> None:
        """Count a submit that the SMSC took on; the same one twice is a duplicate."""
        self.taken += 1
        mark = hash((message.source, message.destination, message.payload))
        seen = self._taken.get(mark) or self._taken_before.get(mark, 0)
        if seen:
            self.duplicates += 1
        elif len(self._taken) >= _GENERATION:
            self._taken_before, self._taken = self._taken, {}
        self._taken[mark] = seen + 1

    def times_taken(self, source: str, destination: str, payload: bytes) -> int:
        """How often one segment (addresses as on the wire) was taken on."""
        mark = hash((source.encode("latin-1"), destination.encode("latin-1"), payload))
        return self._taken.get(mark) or self._taken_before.get(mark, 0)

    def counters(self) -> dict[str, Any]:
        """Exact counts since the start or the last reset, whatever the ring still holds."""
        counts = [
            {
                "direction": direction,
                "command": COMMAND_NAMES.get(command, f"0x{command:08X}"),
                "status": status,
                "count": count,
            }
            for (direction, command, status), count in sorted(self._counts.items())
        ]
        return {"counts": counts, "taken": self.taken, "duplicates": self.duplicates}

    def count(self, direction: str, command: int, status: int | None = None) -> int:
        """How many such PDUs there were, with one status or with any."""
        if status is not None:
            return self._counts.get((direction, command, status), 0)
        return sum(
            count
            for (way, name, _), count in self._counts.items()
            if way == direction and name == command
        )

    def reset(self) -> None:
        """Forget everything but the numbering, so that a reader's ``after`` stays good."""
        self._ring.clear()
        self._counts.clear()
        self._taken.clear()
        self._taken_before.clear()
        self.duplicates = self.taken = 0

    def read(
        self, *, after: int = 0, limit: int = 100, wanted: Callable[[dict[str, Any]], bool]
    ) -> tuple[list[dict[str, Any]], int]:
        """Up to ``limit`` wanted entries past number ``after``, and where to read on."""
        found: list[dict[str, Any]] = []
        position = after
        for entry in self._from(after):
            position = entry[0]
            document = describe(entry)
            if wanted(document):
                found.append(document)
                if len(found) >= limit:
                    break
        return found, position

    def read_last(
        self, limit: int, wanted: Callable[[dict[str, Any]], bool]
    ) -> tuple[list[dict[str, Any]], int]:
        """The newest ``limit`` wanted entries, oldest first, and where to read on."""
        found: list[dict[str, Any]] = []
        for entry in reversed(self._ring):
            document = describe(entry)
            if wanted(document):
                found.append(document)
                if len(found) >= limit:
                    break
        return found[::-1], self._last

    def entries(self) -> list[Entry]:
        """What the ring holds, oldest first."""
        return list(self._ring)

    def _from(self, after: int) -> Iterator[Entry]:
        if not self._ring:
            return iter(())
        skip = max(0, after + 1 - self._ring[0][0])
        return islice(self._ring, skip, None)


def describe(entry: Entry) -> dict[str, Any]:
    """An entry as JSON: texts decoded, addresses in E.164 where they are."""
    number, at_s, direction, bind, command, status, sequence, content = entry
    document: dict[str, Any] = {
        "number": number,
        "at": _moment(at_s),
        "direction": direction,
        "bind": bind,
        "command": COMMAND_NAMES.get(command, f"0x{command:08X}"),
        "status": status,
        "sequence": sequence,
    }
    name = document["command"]
    if isinstance(content, bytes) and name == "deliver_sm":
        content = decode_message(content, 0, len(content))
    if isinstance(content, MessagePdu):
        document |= _describe_message(content)
    elif isinstance(content, bytes) and name == "submit_sm_resp":
        document["message_id"] = content.decode("latin-1")
    return document


def _moment(at_s: float) -> str:
    second, thousandths = divmod(int(at_s * 1000), 1000)
    return f"{_whole_second(second)}.{thousandths:03}Z"


@lru_cache(maxsize=4)
def _whole_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _describe_message(message: MessagePdu) -> dict[str, Any]:
    payload = message.payload
    part: dict[str, int] | None = None
    body = payload
    if message.esm_class & ESM_UDHI:
        concatenation, body = find_concatenation(payload)
        if concatenation is not None:
            part = {
                "reference": concatenation.reference,
                "total": concatenation.total,
                "sequence": concatenation.sequence,
            }
    return {
        "source": decode_address(message.source_ton_npi, message.source),
        "destination": decode_address(message.destination_ton_npi, message.destination),
        "esm_class": message.esm_class,
        "data_coding": message.data_coding,
        "registered_delivery": message.registered_delivery,
        "text": decode_text(body, message.data_coding),
        "octets": payload.hex(),
        "part": part,
        "tlvs": {f"0x{tag:04X}": value.hex() for tag, value in (message.tlvs or {}).items()},
    }
