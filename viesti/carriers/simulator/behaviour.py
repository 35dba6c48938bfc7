"""What a simulated handset does with a text, and which handset does what.

Written as JSON through the control API, by exact number or by pattern; read by ``network`` for
each submit. Patterns are globs on the digits of a number (``1347555*``), the last one set wins,
and an exact number wins over all patterns.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from viesti.carriers.simulator.settings import IdFormat, ReceiptForm
from viesti.kit.errors import Invalid

State = Literal[
    "ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD"
]
# Bounds, so that nothing that is told can stop the network that it is told to.
Delay = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Status = Annotated[int, msgspec.Meta(ge=1, le=0xFFFF_FFFF)]
Receipts = Annotated[tuple[State, ...], msgspec.Meta(max_length=100)]
Error = Annotated[str, msgspec.Meta(max_length=3)]  # appendix B: err is three characters
ReplyText = Annotated[str, msgspec.Meta(min_length=1, max_length=1530)]
Answer = Literal["accept", "refuse", "none", "drop_before", "drop_after"]

_RESOLVED_KEPT = 200_000
_HANDSETS_TOLD = 50_000


class PartBehaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What differs for one part of a long text; None: as the whole."""

    receipts: Receipts | None = None
    err: Error | None = None
    delay_s: Delay | None = None


class Behaviour(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """Everything that can be told to a handset. The default delivers and confirms."""

    # The receipts that follow, in this order, the first after delay_s (None: the network's), the
    # next ones gap_s apart. Empty: never confirmed. The same state twice: a duplicate receipt.
    receipts: Receipts = ("DELIVRD",)
    err: Error = "000"
    delay_s: Delay | None = None
    gap_s: Delay = 0.05
    # By the number of the part, from "1".
    parts: dict[str, PartBehaviour] = msgspec.field(default_factory=dict[str, PartBehaviour])
    # accept; refuse with status; none: take the text and never answer; drop_before and
    # drop_after: take it and cut the connection before or after the answer.
    answer: Answer = "accept"
    status: Status = 0x0B
    # None: the network's. Longer than delay_s, the receipt comes before the answer.
    answer_delay_s: Delay | None = None
    # Sent back once per complete text.
    reply: ReplyText | None = None
    reply_delay_s: Delay = 0.5
    reply_limit: int | None = None
    id_format: IdFormat | None = None
    receipt_form: ReceiptForm | None = None


DELIVER = Behaviour()
PRESETS: dict[str, Behaviour] = {
    "deliver": DELIVER,
    "deliver_slowly": Behaviour(delay_s=5.0),
    "undeliverable": Behaviour(receipts=("UNDELIV",), err="001"),
    "expire": Behaviour(receipts=("EXPIRED",), err="002"),
    "reject": Behaviour(receipts=("REJECTD",), err="003"),
    "never_confirm": Behaviour(receipts=()),
    "refuse": Behaviour(answer="refuse", status=0x0B),
    "throttle": Behaviour(answer="refuse", status=0x58),
    "no_answer": Behaviour(answer="none", receipts=()),
    "lost_answer": Behaviour(answer="none"),
    "late_answer": Behaviour(answer_delay_s=40.0),
    "early_receipt": Behaviour(delay_s=0.0, answer_delay_s=0.5),
    "twice_confirmed": Behaviour(receipts=("DELIVRD", "DELIVRD")),
    "drop_before_answer": Behaviour(answer="drop_before"),
    "drop_after_answer": Behaviour(answer="drop_after"),
    "opt_out": Behaviour(reply="STOP", reply_limit=1),
    "reply": Behaviour(reply="Thanks, got it!"),
}

# Numbers that behave in their own way out of the box, for trying things by hand: area code 500
# is not geographic, so nobody's handset in a test has one by chance.
NUMBER_DEFAULTS: dict[str, str] = {
    "15005550001": "undeliverable",
    "15005550002": "expire",
    "15005550003": "reject",
    "15005550004": "never_confirm",
    "15005550005": "refuse",
    "15005550006": "no_answer",
    "15005550007": "opt_out",
    "15005550008": "reply",
    "15005550009": "deliver_slowly",
}


def read_behaviour(document: object) -> Behaviour:
    """The behaviour that a JSON object describes: a ``preset``, single fields, or both.

    Raises Invalid with a sentence that names the wrong field.
    """
    try:
        fields = msgspec.convert(document, dict[str, Any])
    except msgspec.ValidationError as error:
        raise Invalid('a behaviour is a JSON object, as in {"preset": "deliver"}') from error
    preset = fields.pop("preset", "deliver")
    base = PRESETS.get(preset) if isinstance(preset, str) else None
    if base is None:
        raise Invalid(f"no such preset; there are: {', '.join(PRESETS)}")
    try:
        behaviour = msgspec.convert({**msgspec.to_builtins(base), **fields}, Behaviour)
    except msgspec.ValidationError as error:
        raise Invalid(f"this behaviour cannot be read: {error}") from error
    for part in behaviour.parts:
        if not part.isdecimal():
            raise Invalid('parts are named by their number, from "1"')
    return behaviour


def digits_of(number: str) -> str:
    """A number as the rule book keys it: ``+1 347-555-0101`` is ``13475550101``."""
    digits = re.sub(r"[\s().+-]", "", number)
    if not digits or not digits.isalnum() or len(digits) > 20:
        raise Invalid("a handset is named by its number, for example +13475550101")
    return digits


class RuleBook:
    """Who does what; lookups by number are remembered, since most numbers come again."""

    def __init__(self) -> None:
        self.default = DELIVER
        self.handsets: dict[str, Behaviour] = {}
        self.patterns: dict[str, Behaviour] = {}
        self._globs: list[tuple[re.Pattern[str], Behaviour]] = []
        self._exact: dict[str, Behaviour] = {}
        self._resolved: dict[bytes, Behaviour] = {}
        self.reset()

    def reset(self) -> None:
        self.default = DELIVER
        self.handsets.clear()
        self.patterns = {number: PRESETS[name] for number, name in NUMBER_DEFAULTS.items()}
        self._changed()

    def set_handset(self, digits: str, behaviour: Behaviour | None) -> None:
        """None: back to what patterns and default say."""
        if behaviour is None:
            self.handsets.pop(digits, None)
        elif len(self.handsets) >= _HANDSETS_TOLD and digits not in self.handsets:
            raise Invalid("too many single numbers were told what to do; use a pattern")
        else:
            self.handsets[digits] = behaviour
        self._changed()

    def set_patterns(self, patterns: Mapping[str, Behaviour]) -> None:
        """Add or replace patterns; the last one given wins where several match."""
        for pattern, behaviour in patterns.items():
            self.patterns.pop(pattern, None)
            self.patterns[pattern] = behaviour
        self._changed()

    def remove_pattern(self, pattern: str) -> None:
        self.patterns.pop(pattern, None)
        self._changed()

    def set_default(self, behaviour: Behaviour) -> None:
        self.default = behaviour
        self._changed()

    def _changed(self) -> None:
        self._resolved.clear()
        self._globs.clear()
        self._exact.clear()
        # The last pattern that matches wins, so an exact number holds until a later glob.
        for pattern, behaviour in self.patterns.items():
            glob = pattern.lstrip("+")
            if glob.isalnum():
                self._exact[glob] = behaviour
                continue
            compiled = re.compile(fnmatch.translate(glob))
            self._globs.insert(0, (compiled, behaviour))
            for number in [number for number in self._exact if compiled.match(number)]:
                del self._exact[number]

    def behaviour_of(self, digits: bytes) -> Behaviour:
        found = self._resolved.get(digits)
        if found is None:
            if len(self._resolved) >= _RESOLVED_KEPT:
                self._resolved.clear()
            found = self._resolved[digits] = self._resolve(digits.decode("latin-1"))
        return found

    def _resolve(self, digits: str) -> Behaviour:
        if digits in self.handsets:
            return self.handsets[digits]
        if digits in self._exact:
            return self._exact[digits]
        for pattern, behaviour in self._globs:
            if pattern.match(digits):
                return behaviour
        return self.default
