"""Delivery receipts as text, and the comparison of carriers' message ids.

``carriers/smpp`` reads each receipt's text with ``find_receipt``; ``inbound`` matches its id to
a submitted segment with ``canonical_id`` and ``id_candidates``.

Source: SMPP 3.4, appendix B. Carriers take liberties with it, so every field may be missing,
in any order, in any case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# Receipts are under 200 octets in the field; what is longer is not read further.
_LONGEST: Final = 2_000

_FIELD: Final = re.compile(
    r"(?<![a-z0-9_])(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat(?:us)?|err(?:or)?|text)"
    r"[ \t]{0,4}:",
    re.IGNORECASE,
)

_STATS: Final = (
    "DELIVRD",
    "UNDELIV",
    "REJECTD",
    "EXPIRED",
    "DELETED",
    "ACCEPTD",
    "ENROUTE",
    "UNKNOWN",
)
# Written-out and home-made words. Truncated ones are found by their first letters.
_STAT_PREFIXES: Final = (
    *((word[:4], word) for word in _STATS),
    ("DEV", "DELIVRD"),
    ("FAIL", "UNDELIV"),
    ("SENT", "ENROUTE"),
    ("SCHED", "ENROUTE"),
    ("BUFF", "ENROUTE"),
    ("SKIP", "REJECTD"),
    ("BLOCK", "REJECTD"),
)
_SHORTEST_STAT: Final = 3


@dataclass(frozen=True, slots=True)
class ReceiptText:
    """A receipt's fields; an absent one is the empty string."""

    message_id: str  # as the carrier wrote it
    stat: str  # one of the eight words of appendix B; UNKNOWN for a word nobody knows
    err: str
    submit_date_raw: str  # YYMMDDhhmm[ss] in the carrier's own zone
    done_date_raw: str


def _stat_of(word: str) -> str:
    word = word.upper()
    if len(word) >= _SHORTEST_STAT:
        for prefix, stat in _STAT_PREFIXES:
            if word.startswith(prefix):
                return stat
        matches = [stat for stat in _STATS if stat.startswith(word)]
        if len(matches) == 1:
            return matches[0]
    return "UNKNOWN"


def find_receipt(text: str) -> ReceiptText | None:
    """The receipt that ``text`` is. Never raises.

    None unless it names a ``stat``, or an ``id`` and one more field: an ordinary text with a
    colon in it is not a receipt. Of a repeated field the first counts, and fields inside the
    ``text:`` excerpt only if they stand nowhere before it.
    """
    text = text[:_LONGEST]
    marks = list(_FIELD.finditer(text))
    if not marks:
        return None
    fields: dict[str, str] = {}
    for index, mark in enumerate(marks):
        end = marks[index + 1].start() if index + 1 < len(marks) else len(text)
        # "submit date" and its kin keep their first letters: s-u-b would be "sub".
        name = mark[1].lower().replace(" ", "").replace("_", "")
        name = {"status": "stat", "error": "err"}.get(name, name)
        words = text[mark.end() : end].strip(" \t\r\n\0,;").split(None, 1)
        fields.setdefault(name, words[0].strip("\0,;") if words else "")
    message_id = fields.get("id", "")
    if not fields.get("stat") and not (message_id and len(fields) > 1):
        return None
    return ReceiptText(
        message_id=message_id,
        stat=_stat_of(fields.get("stat", "")),
        err=fields.get("err", ""),
        submit_date_raw=fields.get("submitdate", ""),
        done_date_raw=fields.get("donedate", ""),
    )


_HEX: Final = re.compile(r"[0-9a-fA-F-]+")
_DECIMAL: Final = re.compile(r"[0-9]{1,40}")
_HEX_NUMBER: Final = re.compile(r"[0-9a-f]{1,32}")

# The four values of a carrier's ``id_format`` setting: how the answer to a submit, then the
# receipt, writes the same id.
ID_FORMATS: Final = ("auto", "same", "hex-dec", "dec-hex")


def canonical_id(message_id: str) -> str:
    """``message_id`` so that two spellings of one id compare equal.

    Hexadecimal ids (and UUIDs) lose their case and leading zeros; any other is only trimmed,
    since its case may carry meaning. Store the answer's id in this form.
    """
    message_id = message_id.strip(" \t\r\n\0")
    if not _HEX.fullmatch(message_id):
        return message_id
    return message_id.lower().lstrip("0") or "0"


def id_candidates(message_id: str, id_format: str) -> tuple[str, ...]:
    """Canonical ids that the answer to the submit may have had, likeliest first, no twins.

    ``message_id`` is the receipt's. With ``hex-dec`` the answer was hexadecimal and the receipt
    is decimal (``0A1B``, then ``2587``); with ``dec-hex`` the reverse; with ``auto`` all three
    readings count. An id that cannot be read as its format says stands for itself; an empty id
    has no candidates. Raises ValueError for an unknown ``id_format``.
    """
    if id_format not in ID_FORMATS:
        raise ValueError(f"id_format {id_format!r} is none of {', '.join(ID_FORMATS)}")
    same = canonical_id(message_id)
    if not message_id.strip(" \t\r\n\0"):
        return ()
    found: list[str] = [same] if id_format in ("auto", "same") else []
    if id_format in ("auto", "hex-dec") and _DECIMAL.fullmatch(same):
        found.append(f"{int(same):x}")
    if id_format in ("auto", "dec-hex") and _HEX_NUMBER.fullmatch(same):
        found.append(str(int(same, 16)))
    return tuple(dict.fromkeys(found or [same]))
