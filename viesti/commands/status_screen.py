"""Draws the platform's status for a terminal; ``viesti status`` shows it once or again and again."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from viesti.monitoring.models import Carrier, Lane, Parked, Queue, Status

# From here on a text that could go makes people look.
LATE_S = 60.0
RATES = ("submitted", "accepted", "receipts", "inbound")
TROUBLES = ("refused", "throttled", "retried", "unanswered")


def draw(status: Status) -> RenderableType:
    """The whole status, most urgent first within each part."""
    parts: list[RenderableType] = [_headline(status), _processes(status), _carriers(status)]
    if status.lanes:
        parts.append(_lanes(status))
    parts.append(_errors(status))
    parts.append(_webhooks(status))
    if status.strays:
        parts.append(
            Text(f"{status.strays} rows lie outside every month's partition.", style="red")
        )
    return Group(*parts)


def _headline(status: Status) -> RenderableType:
    queue, parked, accepted = status.queue, status.parked, status.accepted
    line = Text(f"{status.at:%Y-%m-%d %H:%M:%S}Z", "dim")
    line.append("   waiting ", "not dim")
    line.append(_about(queue.waiting, queue.is_exact), "not dim bold")
    line.append("   in flight ", "not dim")
    line.append(_count(queue.in_flight, True), "not dim bold")
    line.append("   held ", "not dim")
    line.append(
        _count(parked.held, parked.is_exact),
        "not dim bold yellow" if parked.held else "not dim bold",
    )
    second = Text("oldest waiting ")
    second.append(_age(queue.oldest_s), _lateness(queue.oldest_s))
    more = "" if accepted.is_exact else "+"
    second.append(f"   texts in {_rate(accepted.outgoing_per_s)}{more}/s")
    second.append(f"   replies in {_rate(accepted.incoming_per_s)}{more}/s")
    if queue.later:
        second.append(f"   for later {_about(queue.later, queue.is_exact)}")
    if parked.no_credit:
        second.append(f"   without credit {_count(parked.no_credit, parked.is_exact)}", "yellow")
    return Group(line, second)


def _processes(status: Status) -> RenderableType:
    line = Text()
    if not status.processes:
        return Text("No role process runs: start `viesti serve`.", style="yellow")
    for one in status.processes:
        if line:
            line.append("   ")
        mark, style = ("●", "green") if one.is_alive else ("○", "red")
        line.append(f"{mark} ", style)
        line.append(f"{one.role} {one.host}:{one.pid}")
        if not one.is_alive:
            line.append(f" silent for {_age(one.silent_s)}", "red")
    return line


def _table(title: str, *columns: str, left: int = 1) -> Table:
    """Numbers to the right, the first ``left`` columns to the left."""
    table = Table(title=title, title_justify="left", title_style="bold", expand=False, box=None)
    for place, name in enumerate(columns):
        table.add_column(
            name,
            justify="left" if place < left else "right",
            header_style="dim",
            overflow="ellipsis",
            no_wrap=True,
        )
    return table


def _carriers(status: Status) -> RenderableType:
    if not status.carriers:
        return Text("There is no carrier: add one with `viesti carrier add`.", style="yellow")
    queues = _table(
        "\nCarriers",
        *("carrier", "bound", "since", "lanes", "waiting", "in flight", "oldest", "held"),
    )
    traffic = _table(
        "\nTraffic (segments a second over the last 15 seconds)",
        *("carrier", "out", "taken", "receipts", "inbound", "troubles"),
    )
    for one in status.carriers:
        queues.add_row(
            _name(one),
            _bound(one),
            _since(one),
            f"{one.lanes_leased}/{one.lanes}",
            _waiting(one.queue),
            _count(one.queue.in_flight, True),
            Text(_age(one.queue.oldest_s), _lateness(one.queue.oldest_s)),
            _held(one.parked),
        )
        rates = (_rate(one.per_s.get(name, 0.0)) for name in RATES)
        traffic.add_row(_name(one), *rates, _troubles(one))
    troubles = [
        Text(f"  {one.name}: {one.last_error}", style="red")
        for one in status.carriers
        if one.enabled and one.last_error
    ]
    return Group(queues, *troubles, traffic)


def _name(carrier: Carrier) -> Text:
    return Text(carrier.name) if carrier.enabled else Text(f"{carrier.name} (off)", style="dim")


def _bound(carrier: Carrier) -> Text:
    style = "green" if carrier.bound else "red"
    return Text(f"{carrier.bound}/{carrier.max_binds}", style if carrier.enabled else "dim")


def _since(carrier: Carrier) -> str:
    since = min((bind.bound_since for bind in carrier.binds if bind.bound_since), default=None)
    return _clock(since) if since else "-"


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}"


def _troubles(carrier: Carrier) -> Text:
    """Rates of what did not go as it should, those that are not zero."""
    words = [
        f"{name} {_rate(rate)}" for name in TROUBLES if (rate := carrier.per_s.get(name, 0.0)) > 0
    ]
    return Text(", ".join(words) or "-", style="yellow" if words else "dim")


def _lanes(status: Status) -> RenderableType:
    shown = len(status.lanes)
    of = f" (the busiest {shown} of {status.lanes_busy})" if status.lanes_busy > shown else ""
    table = _table(
        f"\nLanes with something to do{of}",
        *("sender", "carrier", "account"),
        *("waiting", "in flight", "oldest", "held", "in/s"),
        left=3,
    )
    for one in status.lanes:
        table.add_row(*_lane(one))
    return table


def _lane(lane: Lane) -> list[RenderableType]:
    return [
        Text(lane.sender, "" if lane.is_leased or not lane.queue.waiting else "yellow"),
        Text(lane.carrier),
        Text(lane.account_name),
        _waiting(lane.queue),
        _count(lane.queue.in_flight, True),
        Text(_age(lane.queue.oldest_s), _lateness(lane.queue.oldest_s)),
        _held(lane.parked),
        _rate(lane.accepted_per_s),
    ]


def _errors(status: Status) -> RenderableType:
    errors = status.errors
    window = "hour" if errors.window_s == 3600 else _age(errors.window_s)
    texts = _count(errors.texts, errors.is_exact)
    line = Text(f"\nErrors of the last {window}", style="bold")
    if not errors.by_code:
        line.append(f"  none among {texts} texts", "not bold green" if errors.texts else "not bold")
        return line
    worst = sorted(errors.by_code.items(), key=lambda pair: -pair[1])
    words = "   ".join(f"{code} {_count(many, errors.is_exact)}" for code, many in worst)
    line.append(f"  {words}", "not bold red")
    line.append(f"   among {texts} texts", "not bold")
    return line


def _webhooks(status: Status) -> RenderableType:
    hooks = status.webhooks
    line = Text("Webhooks", style="bold")
    if not hooks.endpoints:
        line.append("  none", "not bold")
        return line
    line.append(f"  {hooks.endpoints} endpoints", "not bold")
    line.append(f"   due {_count(hooks.due, hooks.is_exact)}", "not bold")
    if hooks.oldest_s is not None:
        line.append(f"   oldest {_age(hooks.oldest_s)}", "not bold")
    if hooks.retrying:
        line.append(f"   retrying {_count(hooks.retrying, hooks.is_exact)}", "not bold yellow")
    if hooks.failing_count:
        line.append(f"   failing endpoints {hooks.failing_count}", "not bold red")
    if hooks.disabled:
        line.append(f"   disabled {hooks.disabled}", "not bold red")
    if hooks.dead:
        line.append(f"   dead {_count(hooks.dead, hooks.is_exact)}", "not bold red")
    return line


def _waiting(queue: Queue) -> str:
    text = _about(queue.waiting, queue.is_exact)
    return f"{text} ({_about(queue.later, queue.is_exact)} later)" if queue.later else text


def _held(parked: Parked) -> Text:
    text = _count(parked.held, parked.is_exact)
    return Text(text, style="yellow" if parked.held else "")


def _count(number: int, is_exact: bool) -> str:
    return f"{number:,}" if is_exact else f"{number:,}+"


def _about(number: int, is_exact: bool) -> str:
    """A long queue is estimated, where other things are counted up to a bound."""
    return f"{number:,}" if is_exact else f"~{number:,}"


def _rate(per_s: float) -> str:
    if per_s == 0:
        return "0"
    return f"{per_s:,.0f}" if per_s >= 10 else f"{per_s:.1f}" if per_s >= 0.1 else f"{per_s:.2f}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _lateness(seconds: float | None) -> str:
    return "red" if seconds is not None and seconds >= LATE_S else ""
