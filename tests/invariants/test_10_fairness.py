"""Invariant 10: another tenant's long backlog costs a single text no more than a second of pace."""

from __future__ import annotations

import asyncio

import pytest

from tests.dispatch.bed import SENDER, Bed, handset
from tests.invariants.backlog import fill_queue
from viesti.carriers.simulator.log import IN
from viesti.carriers.smpp.pdu import Command, MessagePdu

OTHER = "+12025550101"
BACKLOG = 100_000
RATE_PER_S = 100
SINGLES = 8


def submits_since(bed: Bed, number: int) -> list[tuple[bytes, bytes]]:
    """(sender, handset) of each submit that came after entry ``number`` of the SMSC's log."""
    return [
        (content.source, content.destination)
        for entry, _, direction, _, command, _, _, content in bed.simulator.network.log.entries()
        if entry > number
        and direction == IN
        and command == Command.SUBMIT_SM
        and isinstance(content, MessagePdu)
    ]


@pytest.mark.slow
async def test_a_single_text_passes_a_hundred_thousand_of_another_tenant(bed: Bed) -> None:
    bed.run("UPDATE carriers SET rate_per_s = %s", RATE_PER_S)
    other = bed.add_account()
    bed.add_sender(OTHER, account_id=other)
    await bed.send([handset(0)], "Bulk")
    await asyncio.to_thread(fill_queue, bed, BACKLOG)
    await bed.start()
    await bed.until(lambda: len(bed.submitted()) > RATE_PER_S, "the backlog moves")
    before: list[int] = []
    for n in range(SINGLES):
        (message_id,) = await bed.send([handset(5_000 + n)], "Single", account_id=other)
        accepted = bed.simulator.network.log.last_number
        await bed.until(lambda id_=message_id: bed.status(id_)[0] == "delivered", "the single")
        passed = submits_since(bed, accepted)
        mine = (OTHER[1:].encode(), handset(5_000 + n)[1:].encode())
        # One that left before this thread looked at the log was passed by nobody.
        before.append(passed.index(mine) if mine in passed else 0)
    print(f"\ntexts of the backlog that left before a single one: {before}")
    # At the carrier's pace that many are one second.
    assert max(before) <= RATE_PER_S
    assert bed.statuses()["queued"] > BACKLOG * 0.9
    assert {source for source, _ in submits_since(bed, 0)} == {
        SENDER[1:].encode(),
        OTHER[1:].encode(),
    }
