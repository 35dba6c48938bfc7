"""The phones of the simulated network: what each received and sent, within bounds.

``network`` adds every part as it is taken on; parts are only joined into texts when somebody
looks, so that a bulk run costs one small record per part.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from datetime import UTC, datetime
from typing import Any

from viesti.carriers.smpp.pdu import ESM_UDHI, MessagePdu
from viesti.kit.clock import iso
from viesti.sms.reassembly import decode_text, join_parts
from viesti.sms.udh import Concatenation, find_concatenation

# Unfinished long texts per handset that are watched for completeness.
_UNFINISHED_KEPT = 50


class Part:
    """One segment on a handset, and how far its receipt has come. Mutable and small on purpose."""

    __slots__ = ("at_s", "message", "message_id", "number", "state")

    def __init__(self, number: int, message: MessagePdu, message_id: str) -> None:
        self.number = number
        self.at_s = time.time()
        self.message = message
        self.message_id = message_id
        self.state = "received"


class Sent:
    """A text that the handset's person wrote."""

    __slots__ = ("at_s", "number", "parts", "state", "text", "to", "unconfirmed")

    def __init__(self, number: int, to: str, text: str, parts: int) -> None:
        self.number = number
        self.at_s = time.time()
        self.to = to
        self.text = text
        self.parts = parts
        self.unconfirmed = parts
        self.state = "waiting"

    def confirmed(self) -> None:
        self.unconfirmed -= 1
        self.state = "taken" if self.unconfirmed <= 0 else "waiting"


class Handset:
    __slots__ = ("digits", "kept", "replies", "texts", "unfinished")

    def __init__(self, digits: str, texts_kept: int) -> None:
        self.digits = digits
        self.texts: deque[Part | Sent] = deque(maxlen=texts_kept)
        self.kept = False  # added by a person: never dropped to make room
        self.replies = 0
        self.unfinished: dict[tuple[bytes, int, int], set[int]] | None = None

    def completes(self, message: MessagePdu) -> bool:
        """Whether this part is the last one missing of its text; True for a text of one part."""
        concatenation = concatenation_of(message)
        if concatenation is None:
            return True
        key = (message.source, concatenation.reference, concatenation.total)
        if self.unfinished is None:
            self.unfinished = {}
        numbers = self.unfinished.setdefault(key, set())
        numbers.add(concatenation.sequence)
        if len(numbers) == concatenation.total:
            del self.unfinished[key]
            return True
        if len(self.unfinished) > _UNFINISHED_KEPT:
            del self.unfinished[next(iter(self.unfinished))]
        return False


class HandsetStore:
    """Handsets by their digits; the ones longest silent make room for new ones."""

    def __init__(self, handsets_kept: int, texts_kept: int) -> None:
        self._kept = handsets_kept
        self._texts_kept = texts_kept
        self._handsets: OrderedDict[str, Handset] = OrderedDict()
        self._numbers = 0
        self.changed: set[str] = set()

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def handset(self, digits: str) -> Handset:
        found = self._handsets.get(digits)
        if found is None:
            found = self._handsets[digits] = Handset(digits, self._texts_kept)
            if len(self._handsets) > self._kept:
                self._make_room()
        else:
            self._handsets.move_to_end(digits)
        return found

    def find(self, digits: str) -> Handset | None:
        return self._handsets.get(digits)

    def remove(self, digits: str) -> None:
        self._handsets.pop(digits, None)
        self.changed.discard(digits)

    def _make_room(self) -> None:
        for _ in range(len(self._handsets)):
            digits, handset = self._handsets.popitem(last=False)
            if not handset.kept:
                self.changed.discard(digits)
                return
            # To the end, so that the next search does not meet it again at once.
            self._handsets[digits] = handset
        self._handsets.popitem(last=False)

    def note(self, digits: str) -> None:
        """Mark a handset as changed, for live pages; bounded by the handsets there are."""
        self.changed.add(digits)
        if len(self.changed) > self._kept:
            self.changed.clear()
            self.changed.add(digits)

    def latest(self, limit: int) -> list[Handset]:
        """Those added by a person first, then those with the newest traffic."""
        handsets = list(reversed(self._handsets.values()))
        handsets.sort(key=lambda handset: not handset.kept)
        return handsets[:limit]

    def reset(self) -> None:
        self._handsets.clear()
        self.changed.clear()


def concatenation_of(message: MessagePdu) -> Concatenation | None:
    if not message.esm_class & ESM_UDHI:
        return None
    return find_concatenation(message.payload)[0]


def texts_of(handset: Handset) -> list[dict[str, Any]]:
    """The handset's texts as a person sees them: parts of one text joined, oldest first."""
    texts: list[dict[str, Any]] = []
    open_texts: dict[tuple[bytes, int, int], tuple[dict[str, Any], dict[int, bytes]]] = {}
    for item in handset.texts:
        if isinstance(item, Sent):
            texts.append(_sent(item))
            continue
        message = item.message
        concatenation, body = None, message.payload
        if message.esm_class & ESM_UDHI:
            concatenation, body = find_concatenation(body)
        if concatenation is None:
            texts.append(_received(item, decode_text(body, message.data_coding)))
            continue
        key = (message.source, concatenation.reference, concatenation.total)
        # A part that is here already belongs to the next text with the same reference.
        if key not in open_texts or concatenation.sequence in open_texts[key][1]:
            document = _received(item, "")
            document["parts"] = concatenation.total
            open_texts[key] = (document, {})
            texts.append(document)
        else:
            document = open_texts[key][0]
            document["states"].append(item.state)
            document["message_ids"].append(item.message_id)
        bodies = open_texts[key][1]
        bodies[concatenation.sequence] = body
        document["parts_received"] = len(bodies)
        document["text"] = join_parts(bodies, concatenation.total, message.data_coding)
    return texts


def _received(part: Part, text: str) -> dict[str, Any]:
    source = part.message.source.decode("latin-1")
    international = part.message.source_ton_npi[:1] == b"\x01"
    return {
        "id": part.number,
        "direction": "received",
        "at": iso(datetime.fromtimestamp(part.at_s, UTC)),
        "peer": f"+{source}" if international else source,
        "text": text,
        "parts": 1,
        "parts_received": 1,
        "states": [part.state],
        "message_ids": [part.message_id],
    }


def _sent(sent: Sent) -> dict[str, Any]:
    return {
        "id": sent.number,
        "direction": "sent",
        "at": iso(datetime.fromtimestamp(sent.at_s, UTC)),
        "peer": sent.to,
        "text": sent.text,
        "parts": sent.parts,
        "parts_received": sent.parts,
        "states": [sent.state],
        "message_ids": [],
    }
