"""The status as JSON, as docs/operations/monitoring.md promises it; used by ``viesti status``."""

from __future__ import annotations

from typing import Any

from viesti.db.traffic import FIELDS
from viesti.kit.clock import iso
from viesti.monitoring.models import Carrier, Lane, Parked, Process, Queue, Status, Webhooks


def status_view(status: Status) -> dict[str, Any]:
    """Names and meanings are stable; fields may be added."""
    return {
        "at": iso(status.at),
        "tookMs": round(status.took_s * 1000, 1),
        "processes": [_process(one) for one in status.processes],
        "queue": _queue(status.queue),
        "parked": _parked(status.parked),
        "accepted": {
            "outgoingPerSecond": _rate(status.accepted.outgoing_per_s),
            "incomingPerSecond": _rate(status.accepted.incoming_per_s),
            "isExact": status.accepted.is_exact,
        },
        "errors": {
            "windowSeconds": status.errors.window_s,
            "texts": status.errors.texts,
            "byCode": dict(status.errors.by_code),
            "isExact": status.errors.is_exact,
        },
        "carriers": [_carrier(one) for one in status.carriers],
        "lanes": [_lane(one) for one in status.lanes],
        "lanesBusy": status.lanes_busy,
        "webhooks": _webhooks(status.webhooks),
        "rowsOutsidePartitions": status.strays,
    }


def _process(process: Process) -> dict[str, Any]:
    return {
        "role": process.role,
        "host": process.host,
        "pid": process.pid,
        "version": process.version,
        "startedAt": iso(process.started_at),
        "silentSeconds": _seconds(process.silent_s),
        "isAlive": process.is_alive,
    }


def _queue(queue: Queue) -> dict[str, Any]:
    return {
        "waiting": queue.waiting,
        "later": queue.later,
        "inFlight": queue.in_flight,
        "oldestWaitingSeconds": _seconds(queue.oldest_s),
        "isExact": queue.is_exact,
    }


def _parked(parked: Parked) -> dict[str, Any]:
    return {
        "held": parked.held,
        "noCredit": parked.no_credit,
        "oldestHeldSeconds": _seconds(parked.oldest_held_s),
        "isExact": parked.is_exact,
    }


def _carrier(carrier: Carrier) -> dict[str, Any]:
    return {
        "name": carrier.name,
        "kind": carrier.kind,
        "enabled": carrier.enabled,
        "rateLimitPerSecond": carrier.rate_limit_per_s,
        "maxBinds": carrier.max_binds,
        "bound": carrier.bound,
        "binds": [
            {
                "slot": bind.slot,
                "boundSince": iso(bind.bound_since) if bind.bound_since else None,
                "lastError": bind.last_error,
                "process": bind.process,
            }
            for bind in carrier.binds
        ],
        "lanes": carrier.lanes,
        "lanesLeased": carrier.lanes_leased,
        "queue": _queue(carrier.queue),
        "parked": _parked(carrier.parked),
        "perSecond": {name: _rate(carrier.per_s.get(name, 0.0)) for name in FIELDS},
    }


def _lane(lane: Lane) -> dict[str, Any]:
    return {
        "id": str(lane.id),
        "accountId": str(lane.account_id),
        "accountName": lane.account_name,
        "carrier": lane.carrier,
        "sender": lane.sender,
        "isLeased": lane.is_leased,
        "queue": _queue(lane.queue),
        "parked": _parked(lane.parked),
        "acceptedPerSecond": _rate(lane.accepted_per_s),
    }


def _webhooks(webhooks: Webhooks) -> dict[str, Any]:
    return {
        "endpoints": webhooks.endpoints,
        "disabled": webhooks.disabled,
        "due": webhooks.due,
        "retrying": webhooks.retrying,
        "dead": webhooks.dead,
        "oldestDueSeconds": _seconds(webhooks.oldest_s),
        "failing": webhooks.failing_count,
        "worst": [
            {
                "id": str(one.id),
                "accountId": str(one.account_id),
                "due": one.due,
                "attempts": one.attempts,
            }
            for one in webhooks.failing
        ],
        "isExact": webhooks.is_exact,
    }


def _seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _rate(per_s: float) -> float:
    return round(per_s, 2)
