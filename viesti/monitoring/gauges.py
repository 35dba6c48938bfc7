"""The status as Prometheus gauges; the API's ``/metrics`` prints them beside its own counters.

Labels are carriers, roles, reasons and error codes: sets that an operator or the catalogue
bounds. Accounts, senders and numbers are never labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from viesti.db.traffic import FIELDS
from viesti.monitoring.models import Carrier, Status

ROLES = ("api", "dispatch", "work")


def exposition(status: Status | None) -> bytes:
    """``status`` in Prometheus' text format; None: it could not be read."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(status))
    return generate_latest(registry)


class _Snapshot:
    def __init__(self, status: Status | None) -> None:
        self._status = status

    def collect(self) -> Iterable[GaugeMetricFamily]:
        yield _gauge(
            "status_ok", "Whether the platform's status could be read", self._status is not None
        )
        if self._status is None:
            return
        yield _gauge("status_read_seconds", "What reading the status took", self._status.took_s)
        yield from _machinery(self._status)
        yield from _carriers(self._status)
        yield from _texts(self._status)
        yield from _webhooks(self._status)


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"viesti_{name}", meaning, value=float(value))


def _labelled(
    name: str, meaning: str, label: str, values: Iterable[tuple[str, float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"viesti_{name}", meaning, labels=[label])
    for word, value in values:
        family.add_metric([word], float(value))
    return family


def _machinery(status: Status) -> Iterable[GaugeMetricFamily]:
    alive = Counter(one.role for one in status.processes if one.is_alive)
    roles = [*ROLES, *sorted(alive.keys() - set(ROLES))]
    yield _labelled(
        "processes", "Role processes that are alive", "role", [(r, alive[r]) for r in roles]
    )
    yield _gauge("rows_outside_partitions", "Rows that no month's partition took", status.strays)


def _carriers(status: Status) -> Iterable[GaugeMetricFamily]:
    def of(value: Callable[[Carrier], float]) -> list[tuple[str, float]]:
        return [(one.name, value(one)) for one in status.carriers]

    def each(name: str, meaning: str, value: Callable[[Carrier], float]) -> GaugeMetricFamily:
        return _labelled(name, meaning, "carrier", of(value))

    yield each("carrier_enabled", "Whether the carrier is to be used", lambda c: c.enabled)
    yield each("carrier_binds", "Connections that are bound", lambda c: c.bound)
    yield each("carrier_max_binds", "Connections that may be bound", lambda c: c.max_binds)
    yield each("carrier_lanes", "Senders on the carrier", lambda c: c.lanes)
    yield each("carrier_lanes_leased", "Senders that a dispatcher serves", lambda c: c.lanes_leased)
    yield each("queue_waiting", "Texts that may go now", lambda c: c.queue.waiting)
    yield each("queue_later", "Texts that wait for their time", lambda c: c.queue.later)
    yield each("queue_in_flight", "Texts with an unanswered segment", lambda c: c.queue.in_flight)
    yield each(
        "queue_oldest_seconds",
        "How long the oldest waiting text could have gone",
        lambda c: c.queue.oldest_s or 0.0,
    )
    yield each(
        "queue_is_exact", "0: the queue holds more than was counted", lambda c: c.queue.is_exact
    )
    yield each("held", "Texts with an unknown outcome", lambda c: c.parked.held)
    for field in FIELDS:
        yield each(
            f"carrier_{field}_per_second",
            f"{_WHAT[field]}, a second over the last 15 seconds",
            lambda c, field=field: c.per_s.get(field, 0.0),
        )


_WHAT = {
    "submitted": "Segments written to the carrier",
    "accepted": "Segments that the carrier took",
    "refused": "Segments that the carrier refused for good",
    "throttled": "Segments that the carrier put off",
    "retried": "Segments to be submitted again after a passing error",
    "unanswered": "Segments without an answer",
    "receipts": "Receipts taken in",
    "inbound": "Inbound texts, or parts of them, taken in",
}


def _texts(status: Status) -> Iterable[GaugeMetricFamily]:
    parked = status.parked
    yield _labelled(
        "parked",
        "Texts outside the queue",
        "reason",
        [("held", parked.held), ("no_credit", parked.no_credit)],
    )
    yield _gauge("held_oldest_seconds", "Age of the oldest held text", parked.oldest_held_s or 0.0)
    yield _gauge("parked_is_exact", "0: more are parked than were counted", parked.is_exact)
    accepted = status.accepted
    yield _labelled(
        "texts_per_second",
        "Texts accepted from senders (out) and handsets (in), a second over the last minute",
        "direction",
        [("out", accepted.outgoing_per_s), ("in", accepted.incoming_per_s)],
    )
    yield _labelled(
        "text_errors",
        "Of the texts accepted in the window, those that ended in an error",
        "code",
        list(status.errors.by_code.items()),
    )
    yield _gauge("text_errors_window_seconds", "Length of that window", status.errors.window_s)
    yield _gauge("text_errors_window_texts", "Outgoing texts in that window", status.errors.texts)


def _webhooks(status: Status) -> Iterable[GaugeMetricFamily]:
    hooks = status.webhooks
    yield _labelled(
        "webhook_deliveries",
        "Deliveries: due (all that are not taken), of these retrying; dead: given up",
        "state",
        [("due", hooks.due), ("retrying", hooks.retrying), ("dead", hooks.dead)],
    )
    yield _gauge("webhook_oldest_seconds", "Age of the oldest due delivery", hooks.oldest_s or 0.0)
    yield _labelled(
        "webhook_endpoints",
        "Endpoints: all, of these failing and disabled",
        "state",
        [
            ("all", hooks.endpoints),
            ("failing", hooks.failing_count),
            ("disabled", hooks.disabled),
        ],
    )
