"""Takes a batch of arrivals: when it returns, everything is durable; called by dispatch's desks.

``bootstrap`` hands these functions to dispatch, which may not import its sibling. They run in a
worker thread. Nothing that a PDU holds makes them raise: only trouble with the database does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg
import structlog
from psycopg import errors
from psycopg_pool import ConnectionPool

from viesti.carriers.arrivals import Arrival, Source, Taken
from viesti.db.placement import placement
from viesti.db.pool import retry_deadlocks
from viesti.domain.senders.choice import SenderRow
from viesti.inbound.addresses import find_owners
from viesti.inbound.receipts import ArrivedReceipt, take_receipts
from viesti.inbound.seen import acknowledge
from viesti.inbound.texts import ArrivedText, take_texts
from viesti.kit.clock import utc_now

log = structlog.get_logger()

# What a hostile PDU could still bring about, here or in PostgreSQL. Anything else is trouble with
# the database, and passes.
_CONTENT_ERRORS = (
    psycopg.DataError,
    errors.ProgramLimitExceeded,
    ValueError,
    LookupError,
    ArithmeticError,
)
# Texts whose acknowledgement is still to be proven. Of one that falls out, a redelivery after a
# lost bind is still recognised; only its proof is not noted.
_MOST_UNPROVEN = 50_000


@dataclass(slots=True)
class _Batch:
    """The arrivals of one group of accounts."""

    receipts: list[ArrivedReceipt] = field(default_factory=list[ArrivedReceipt])
    texts: dict[UUID, list[ArrivedText]] = field(
        default_factory=lambda: defaultdict[UUID, list[ArrivedText]](list)
    )

    def add(self, arrival: Arrival, owner: SenderRow, handset: str) -> None:
        delivery = arrival.delivery
        if delivery.receipt is not None:
            self.receipts.append(ArrivedReceipt(owner, handset, delivery.receipt))
        else:
            text = ArrivedText(
                arrival.id,
                arrival.session_id,
                owner,
                handset,
                delivery.payload,
                delivery.data_coding,
                delivery.has_udh,
            )
            self.texts[owner.account_id].append(text)


class _Unproven:
    """Which account each text belongs to, until its acknowledgement is known to have arrived."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[UUID, UUID] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, account_id: UUID, ids: Sequence[UUID]) -> None:
        with self._lock:
            self._accounts.update(dict.fromkeys(ids, account_id))
            while len(self._accounts) > _MOST_UNPROVEN:
                self._accounts.popitem(last=False)

    def find(self, ids: Sequence[UUID]) -> dict[UUID, UUID]:
        with self._lock:
            return {id_: self._accounts[id_] for id_ in ids if id_ in self._accounts}

    def drop(self, ids: Sequence[UUID]) -> None:
        with self._lock:
            for id_ in ids:
                self._accounts.pop(id_, None)


_unproven = _Unproven()


def take_arrivals(
    pool: ConnectionPool[psycopg.Connection], source: Source, arrivals: Sequence[Arrival]
) -> Taken:
    """Commit what ``arrivals`` say, one transaction per group of accounts.

    Taking the same arrivals again changes nothing. Those that are for none of our senders are
    counted as unroutable. Raises psycopg.Error or PoolTimeout: then nothing may be
    acknowledged, and the same arrivals are to be handed over again.
    """
    if not arrivals:
        return Taken()
    routed, unroutable = _route(pool, source, arrivals)
    lanes: dict[UUID, None] = {}
    has_events = False
    for group in placement({owner.account_id for _, owner, _ in routed}):
        part = [entry for entry in routed if entry[1].account_id in group]
        taken = _take_group(pool, source, part)
        lanes.update(dict.fromkeys(taken.lanes))
        has_events |= taken.has_events
        unroutable += taken.unroutable
    return Taken(list(lanes), has_events, unroutable)


def acknowledge_known(conn: psycopg.Connection, ids: Sequence[UUID], now: datetime) -> None:
    """Note that the acknowledgements of the texts ``ids`` are known to have arrived.

    From then on the same bytes on another connection are a second text, not a redelivery.
    """
    known = _unproven.find(ids)
    by_account: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for id_, account_id in known.items():
        by_account[account_id].append(id_)
    for account_id, its_ids in sorted(by_account.items()):
        acknowledge(conn, account_id, its_ids, now)
    _unproven.drop(list(known))


_Routed = tuple[Arrival, SenderRow, str]


def _route(
    pool: ConnectionPool[psycopg.Connection], source: Source, arrivals: Sequence[Arrival]
) -> tuple[list[_Routed], int]:
    """Each arrival with its sender and its handset's address; and how many have no sender."""
    addresses = {arrival.delivery.destination for arrival in arrivals}
    with pool.connection() as conn:
        owners = find_owners(conn, source.carrier_id, addresses)
        # Some carriers leave a receipt's addresses as those of the submit.
        turned = {
            arrival.delivery.source
            for arrival in arrivals
            if arrival.delivery.receipt is not None and arrival.delivery.destination not in owners
        }
        if turned:
            owners = find_owners(conn, source.carrier_id, turned) | owners
    routed: list[_Routed] = []
    lost = 0
    for arrival in arrivals:
        delivery = arrival.delivery
        if delivery.destination in owners:
            routed.append((arrival, owners[delivery.destination], delivery.source))
        elif delivery.receipt is not None and delivery.source in owners:
            routed.append((arrival, owners[delivery.source], delivery.destination))
        else:
            lost += 1
            log.warning(
                "arrival_without_sender",
                arrival_id=str(arrival.id),
                carrier_id=str(source.carrier_id),
                is_receipt=delivery.receipt is not None,
            )
    return routed, lost


def _take_group(
    pool: ConnectionPool[psycopg.Connection], source: Source, part: Sequence[_Routed]
) -> Taken:
    try:
        return _commit(pool, source, part)
    except _CONTENT_ERRORS as error:
        if len(part) == 1:
            # It would come again for ever: it is acknowledged, and the log says which it was.
            log.error(
                "arrival_refused",
                arrival_id=str(part[0][0].id),
                carrier_id=str(source.carrier_id),
                error=type(error).__name__,
            )
            return Taken(unroutable=1)
    # One of them is poison. Halving the batch until it stands alone keeps it from all others.
    half = len(part) // 2
    first, second = (_take_group(pool, source, some) for some in (part[:half], part[half:]))
    return Taken(
        [*first.lanes, *second.lanes],
        first.has_events or second.has_events,
        first.unroutable + second.unroutable,
    )


@retry_deadlocks
def _commit(
    pool: ConnectionPool[psycopg.Connection], source: Source, part: Sequence[_Routed]
) -> Taken:
    batch = _Batch()
    for arrival, owner, handset in part:
        batch.add(arrival, owner, handset)
    now = utc_now()
    lanes: list[UUID] = []
    has_events = False
    with pool.connection() as conn:
        if batch.receipts:
            receipts = take_receipts(conn, source, batch.receipts, now)
            lanes += receipts.lanes
            has_events |= receipts.has_events
        for account_id in sorted(batch.texts):
            texts = take_texts(conn, account_id, batch.texts[account_id], source.live_sessions, now)
            lanes += texts.lanes
            has_events |= texts.has_events
    for account_id, texts in batch.texts.items():
        _unproven.add(account_id, [text.id for text in texts])
    return Taken(lanes, has_events)
