"""One look at the whole platform; called by ``viesti status`` and by the API's metrics.

A look changes nothing and costs little (see the bounds in ``texts`` and ``deliveries``), so
that it may be taken every few seconds while the platform is under load.
"""

from __future__ import annotations

import time
from datetime import datetime

import psycopg

from viesti.monitoring import machinery
from viesti.monitoring.deliveries import read_webhooks
from viesti.monitoring.models import Lane, Parked, Queue, Status
from viesti.monitoring.texts import MOST_PARKED, read_parked, read_queue, read_recent

LANES_SHOWN = 20
# A question that takes longer is given up: monitoring must not add to a trouble.
STATEMENT_LIMIT = "5s"


def read_status(conn: psycopg.Connection, now: datetime) -> Status:
    """The platform as it is at ``now``, in the caller's transaction.

    Raises psycopg.errors.QueryCanceled if the database takes more than five seconds for one of
    the questions.
    """
    started_s = time.monotonic()
    conn.execute("SELECT set_config('statement_timeout', %s, true)", (STATEMENT_LIMIT,))
    processes = machinery.read_processes(conn, now)
    carriers = machinery.read_carriers(conn, now)
    lanes = machinery.read_lanes(conn)
    names = machinery.read_accounts(conn)
    accounts = list(names)
    queues = read_queue(conn, {lane.id: lane.account_id for lane in lanes.values()}, now)
    parked = read_parked(conn, accounts, now)
    recent = read_recent(conn, accounts, now)
    webhooks = read_webhooks(conn, accounts, now)

    total, total_parked = Queue(), Parked()
    for its_parked in parked.values():
        total_parked.add(its_parked)
    for lane in lanes.values():
        carrier = carriers[lane.carrier_id]
        carrier.lanes += 1
        carrier.lanes_leased += lane.is_leased
        if lane.id in queues:
            carrier.queue.add(queues[lane.id])
            total.add(queues[lane.id])
        if lane.id in parked:
            carrier.parked.add(parked[lane.id])
    busy = [
        Lane(
            id=lane.id,
            account_id=lane.account_id,
            account_name=names.get(lane.account_id, ""),
            carrier=carriers[lane.carrier_id].name,
            sender=lane.sender,
            is_leased=lane.is_leased,
            queue=queues.get(lane.id, Queue()),
            parked=parked.get(lane.id, Parked()),
            accepted_per_s=recent.by_lane.get(lane.id, 0.0),
        )
        for lane in lanes.values()
        if lane.id in queues or lane.id in parked or lane.id in recent.by_lane
    ]
    busy.sort(key=lambda lane: (-lane.queue.total, -lane.accepted_per_s, lane.sender))
    return Status(
        at=now,
        took_s=time.monotonic() - started_s,
        processes=processes,
        queue=total,
        parked=total_parked,
        accepted=recent.accepted,
        errors=recent.errors,
        carriers=list(carriers.values()),
        lanes=busy[:LANES_SHOWN],
        lanes_busy=len(busy),
        webhooks=webhooks,
        strays=machinery.count_strays(conn, MOST_PARKED),
    )
