"""What a dispatcher says of itself, as ``viesti status`` reads it."""

from __future__ import annotations

from tests.dispatch.bed import Bed, handset
from viesti.kit.clock import utc_now
from viesti.monitoring.models import Status
from viesti.monitoring.status import read_status


def look(bed: Bed) -> Status:
    with bed.pool.connection() as conn:
        return read_status(conn, utc_now())


async def test_a_dispatcher_reports_its_rates_until_it_ends(bed: Bed) -> None:
    await bed.start()
    await bed.bound()
    await bed.until(lambda: look(bed).carriers[0].bound == 1, "a report of the bind")
    await bed.send([handset(n) for n in range(40)])
    await bed.settled(delivered=40)

    def is_whole() -> bool:
        per_s = look(bed).carriers[0].per_s
        settled = per_s.get("receipts", 0.0)
        return settled > 0 and per_s["submitted"] == per_s["accepted"] == settled

    await bed.until(is_whole, "a report of all that was settled")
    carrier = look(bed).carriers[0]
    assert carrier.per_s["refused"] == carrier.per_s["inbound"] == 0
    assert carrier.lanes_leased == 1
    await bed.stop()
    after = look(bed).carriers[0]
    assert after.per_s == {}
    assert (after.bound, after.lanes_leased) == (0, 0)


async def test_texts_in_flight_are_seen_while_the_carrier_keeps_still(bed: Bed) -> None:
    bed.simulator.network.knobs.response_delay_s = 3.0
    await bed.start()
    await bed.bound()
    await bed.send([handset(n) for n in range(150)])
    await bed.until(lambda: len(bed.submitted()) == 100, "a full window")
    await bed.until(
        lambda: (look(bed).queue.in_flight, look(bed).queue.waiting) == (100, 50), "both counted"
    )
    bed.simulator.network.knobs.response_delay_s = 0.0
    await bed.settled(delivered=150)
    assert look(bed).queue.total == 0
