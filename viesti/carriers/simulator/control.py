"""The simulator's control API: JSON over HTTP, for tests, demos and the handset page.

Routes are added to ``http``'s application. Errors are ``ViestiError``s that ``http`` answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from aiohttp import web

from viesti.carriers.simulator.behaviour import (
    PRESETS,
    Behaviour,
    Delay,
    Status,
    digits_of,
    read_behaviour,
)
from viesti.carriers.simulator.faults import DropPlan, Scope
from viesti.carriers.simulator.handsets import Handset, texts_of
from viesti.carriers.simulator.settings import IdFormat, ReceiptForm
from viesti.kit.clock import iso, utc_now
from viesti.kit.errors import Invalid

if TYPE_CHECKING:
    from viesti.carriers.simulator.server import Simulator

T = TypeVar("T")

_MAX_LOG_PAGE = 1000


class _NewHandset(msgspec.Struct, forbid_unknown_fields=True):
    number: str


class _NewText(msgspec.Struct, forbid_unknown_fields=True):
    to: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=40_000)]
    system_id: str | None = None


class _Knobs(msgspec.Struct, forbid_unknown_fields=True):
    receipt_delay_s: Delay | None = None
    response_delay_s: Delay | None = None
    id_format: IdFormat | None = None
    receipt_form: ReceiptForm | None = None
    rate_per_s: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    rate_scope: Scope = "bind"
    throttle_status: Status = 0x58


class _Rules(msgspec.Struct, forbid_unknown_fields=True):
    default: Any = None
    patterns: dict[str, Any] = {}
    network: _Knobs | None = None


class _Drop(msgspec.Struct, forbid_unknown_fields=True):
    when: Literal["now", "unbind", "before_answer", "after_answer", "before_ack"] = "now"
    after: int = 1
    taken: bool = True


class _Outage(msgspec.Struct, forbid_unknown_fields=True):
    kind: Literal["none", "refuse", "silent"]


class Control:
    """Handlers, one per route."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._network = simulator.network

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/health", self.health)
        router.add_get("/presets", self.presets)
        router.add_get("/handsets", self.handsets)
        router.add_post("/handsets", self.add_handset)
        router.add_get("/handsets/{number}", self.handset)
        router.add_delete("/handsets/{number}", self.remove_handset)
        router.add_put("/handsets/{number}/behaviour", self.set_behaviour)
        router.add_delete("/handsets/{number}/behaviour", self.clear_behaviour)
        router.add_post("/handsets/{number}/messages", self.send_text)
        router.add_get("/behaviour", self.behaviour)
        router.add_put("/behaviour", self.set_rules)
        router.add_post("/drop", self.drop)
        router.add_post("/outage", self.outage)
        router.add_get("/log", self.log)
        router.add_get("/counters", self.counters)
        router.add_post("/reset", self.reset)

    async def health(self, request: web.Request) -> web.Response:
        binds = [
            {
                "name": bind.name,
                "system_id": bind.system_id,
                "transmits": bind.transmits,
                "receives": bind.receives,
            }
            for bind in self._simulator.binds
        ]
        return answer({"status": "ok", "smpp_port": self._simulator.smpp_port, "binds": binds})

    async def presets(self, request: web.Request) -> web.Response:
        return answer({name: msgspec.to_builtins(preset) for name, preset in PRESETS.items()})

    # Handsets

    async def handsets(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", 50, most=500)
        found = self._network.handsets.latest(limit)
        return answer({"handsets": [self.describe(handset) for handset in found]})

    async def add_handset(self, request: web.Request) -> web.Response:
        body = await read_body(request, _NewHandset)
        handset = self._network.handsets.handset(digits_of(body.number))
        handset.kept = True
        self._network.handsets.note(handset.digits)
        return answer(self.describe(handset), status=201)

    async def handset(self, request: web.Request) -> web.Response:
        """A number without traffic is a phone too, with nothing on it."""
        digits = digits_of(request.match_info["number"])
        found = self._network.handsets.find(digits) or Handset(digits, 1)
        return answer(self.describe(found))

    async def remove_handset(self, request: web.Request) -> web.Response:
        digits = digits_of(request.match_info["number"])
        self._network.handsets.remove(digits)
        self._network.rules.set_handset(digits, None)
        return answer({"removed": "+" + digits})

    async def set_behaviour(self, request: web.Request) -> web.Response:
        digits = digits_of(request.match_info["number"])
        behaviour = read_behaviour(await read_body(request, dict[str, Any]))
        handset = self._network.handsets.handset(digits)
        handset.kept = True
        handset.replies = 0
        self._network.rules.set_handset(digits, behaviour)
        self._network.handsets.note(digits)
        return answer(self.describe(handset))

    async def clear_behaviour(self, request: web.Request) -> web.Response:
        digits = digits_of(request.match_info["number"])
        self._network.rules.set_handset(digits, None)
        self._network.handsets.note(digits)
        return answer(self.describe(self._network.handsets.handset(digits)))

    async def send_text(self, request: web.Request) -> web.Response:
        digits = digits_of(request.match_info["number"])
        body = await read_body(request, _NewText)
        self._network.handsets.handset(digits).kept = True
        sent = self._network.send_text(digits, _sender(body.to), body.text, body.system_id)
        return answer({"id": sent.number, "parts": sent.parts}, status=201)

    def describe(self, handset: Handset) -> dict[str, Any]:
        behaviour = self._network.rules.behaviour_of(handset.digits.encode("latin-1"))
        return {
            "number": "+" + handset.digits if len(handset.digits) > 6 else handset.digits,
            "kept": handset.kept,
            "preset": preset_of(behaviour),
            "behaviour": msgspec.to_builtins(behaviour),
            "own_behaviour": handset.digits in self._network.rules.handsets,
            "texts": texts_of(handset),
        }

    # Rules and misfortunes

    async def behaviour(self, request: web.Request) -> web.Response:
        rules, knobs = self._network.rules, self._network.knobs
        return answer(
            {
                "default": msgspec.to_builtins(rules.default),
                "patterns": _builtins(rules.patterns),
                "handsets": _builtins({f"+{k}": v for k, v in rules.handsets.items()}),
                "network": {
                    "receipt_delay_s": knobs.receipt_delay_s,
                    "response_delay_s": knobs.response_delay_s,
                    "id_format": knobs.id_format,
                    "receipt_form": knobs.receipt_form,
                    **self._network.faults.describe_rate(),
                },
            }
        )

    async def set_rules(self, request: web.Request) -> web.Response:
        body = await read_body(request, _Rules)
        rules = self._network.rules
        # All is read before anything is set: a wrong field changes nothing.
        default = None if body.default is None else read_behaviour(body.default)
        patterns = {
            pattern: None if document is None else read_behaviour(document)
            for pattern, document in body.patterns.items()
        }
        if body.network is not None:
            self._set_knobs(body.network)
        if default is not None:
            rules.set_default(default)
        for pattern, behaviour in patterns.items():
            if behaviour is None:
                rules.remove_pattern(pattern)
            else:
                rules.set_patterns({pattern: behaviour})
        return await self.behaviour(request)

    def _set_knobs(self, wanted: _Knobs) -> None:
        network = self._network
        if wanted.rate_per_s is not None:
            network.faults.set_rate(wanted.rate_per_s, wanted.rate_scope, wanted.throttle_status)
        for name in ("receipt_delay_s", "response_delay_s", "id_format", "receipt_form"):
            value = getattr(wanted, name)
            if value is not None:
                setattr(network.knobs, name, value)

    async def drop(self, request: web.Request) -> web.Response:
        body = await read_body(request, _Drop)
        if body.when == "now":
            return answer({"dropped": self._simulator.drop_all()})
        if body.when == "unbind":
            self._simulator.unbind_all()
        else:
            self._simulator.plan_drop(DropPlan(body.when, body.after, body.taken))
        return answer({"planned": body.when})

    async def outage(self, request: web.Request) -> web.Response:
        """refuse: cut what is there and whoever comes. silent: sockets stay, nothing answers."""
        body = await read_body(request, _Outage)
        faults = self._network.faults
        faults.is_silent = body.kind == "silent"
        faults.is_out = body.kind == "refuse"
        if faults.is_out:
            self._simulator.drop_all()
        return answer({"outage": body.kind})

    # What happened

    async def log(self, request: web.Request) -> web.Response:
        query = request.query
        exact = {
            name: query[name]
            for name in ("direction", "bind", "command", "source", "destination", "message_id")
            if name in query
        }
        status = _number(request, "status", -1) if "status" in query else None
        text = query.get("text", "")
        after = _number(request, "after", 0)
        limit = _number(request, "limit", 100, most=_MAX_LOG_PAGE)
        wanted = _filter(exact, status, text)
        if "last" in query:
            last = _number(request, "last", 100, most=_MAX_LOG_PAGE)
            entries, position = self._network.log.read_last(last, wanted)
        else:
            entries, position = self._network.log.read(after=after, limit=limit, wanted=wanted)
        return answer({"entries": entries, "after": position, "now": iso(utc_now())})

    async def counters(self, request: web.Request) -> web.Response:
        counters = self._network.log.counters()
        counters["waiting"] = {
            system_id: outbox.waiting for system_id, outbox in self._network.outboxes.items()
        }
        counters["dropped"] = sum(box.dropped for box in self._network.outboxes.values())
        return answer(counters)

    async def reset(self, request: web.Request) -> web.Response:
        await read_body(request, dict[str, Any])
        self._network.reset()
        return answer({"reset": True})


def answer(document: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(document), status=status, content_type="application/json"
    )


async def read_body(request: web.Request, kind: type[T]) -> T:
    """The JSON body as ``kind``; an empty body is an empty object. Raises Invalid."""
    octets = await request.read()
    try:
        return msgspec.json.decode(octets or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body cannot be read: {error}") from error


def preset_of(behaviour: Behaviour) -> str:
    """The name of the preset that a behaviour equals, or "custom"."""
    for name, preset in PRESETS.items():
        if preset == behaviour:
            return name
    return "custom"


def _builtins(behaviours: dict[str, Behaviour]) -> dict[str, Any]:
    return {key: msgspec.to_builtins(behaviour) for key, behaviour in behaviours.items()}


def _sender(to: str) -> str:
    """Our number as a person writes it; a name stays a name."""
    if any(character.isalpha() for character in to):
        return to.strip()
    digits = digits_of(to)
    return "+" + digits if len(digits) > 6 else digits


def _number(request: web.Request, name: str, default: int, *, most: int | None = None) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = int(text, 0)
    except ValueError as error:
        raise Invalid(f"{name} is not a number") from error
    if value < 0:
        raise Invalid(f"{name} is not negative")
    return value if most is None else min(value, most)


def _filter(
    exact: dict[str, str], status: int | None, text: str
) -> Callable[[dict[str, Any]], bool]:
    def wanted(document: dict[str, Any]) -> bool:
        return (
            all(document.get(name) == value for name, value in exact.items())
            and (status is None or document["status"] == status)
            and text in document.get("text", "")
        )

    return wanted
