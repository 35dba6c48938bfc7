"""Scenario 13, the restart: a worker killed halfway through five thousand recipients."""

from __future__ import annotations

import asyncio
from collections import Counter

import psycopg
import pytest

from tests.dispatch.bed import Bed, handset
from viesti.domain.messages.jobs import get_job, job_view
from viesti.inbound.sweeps import rematch_early
from viesti.kit.clock import utc_now

RECIPIENTS = 5_000


@pytest.mark.kill
async def test_a_worker_killed_halfway_leaves_each_recipient_one_text_and_one_submit(
    bed: Bed,
) -> None:
    bed.simulator.network.knobs.response_delay_s = 0.03
    bed.run("UPDATE carriers SET max_binds = 2")
    running = [bed.spawn(), bed.spawn()]
    await bed.bound(2)
    await bed.send([handset(n) for n in range(RECIPIENTS)], "To all")
    for share in (3, 2):
        await bed.until(
            lambda share=share: bed.simulator.network.log.taken > RECIPIENTS // share, "a flow"
        )
        victim = running.pop(0)
        victim.kill()
        await asyncio.to_thread(victim.wait)
        # Started again, so that two are at work once more.
        running.append(bed.spawn())

    def is_over() -> bool:
        # As the ``work`` role does: receipts that came before their text was held settle it.
        with bed.pool.connection() as conn:
            rematch_early(conn, utc_now())
        return bed.statuses().get("delivered", 0) == bed.simulator.network.log.taken and set(
            bed.statuses()
        ) <= {"delivered", "held"}

    await bed.until(is_over, "an end for each", 45)
    statuses = bed.statuses()
    submits = Counter(pdu.destination for pdu in bed.submitted())
    print(f"\n{statuses}, {len(submits)} submits")
    # One row for each, and never a second submit; a held one was started and never written.
    assert bed.rows("SELECT count(*), count(DISTINCT mobile) FROM messages") == [
        (RECIPIENTS, RECIPIENTS)
    ]
    assert max(submits.values()) == 1
    held = {row[0][1:] for row in bed.rows("SELECT mobile FROM messages WHERE status = 'held'")}
    assert held.isdisjoint(submits)
    assert len(held) + len(submits) == RECIPIENTS
    # No more than two windows on two binds, or what had started for the next second of pace.
    assert len(held) <= 400
    assert await asyncio.to_thread(_job, bed) == (RECIPIENTS, len(submits), len(held))
    bed.check_books()


def _job(bed: Bed) -> tuple[int, int, int]:
    """What the job says: valid, delivered, still waiting for word of its outcome."""
    ((job_id,),) = bed.rows("SELECT id FROM jobs")
    with psycopg.connect(bed.settings.database_url) as conn:
        view = job_view(get_job(conn, bed.account_id, str(job_id)))
    return view["valid"], view["delivered"], view["queued"]
