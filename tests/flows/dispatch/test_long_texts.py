"""Scenario 15: a long text, and receipts in every odd order, over a real socket."""

from __future__ import annotations

import pytest

from tests.dispatch.bed import Bed, handset
from viesti.carriers.simulator.behaviour import Behaviour, PartBehaviour
from viesti.sms.udh import find_concatenation

TEXT = "a" * 398  # with the bed's counter 400 characters: three parts


async def deliver(bed: Bed, behaviour: Behaviour, status: str = "delivered") -> str:
    """Send the long text to a handset of that behaviour, until it has that status."""
    bed.behave(handset(1), behaviour)
    await bed.start()
    (message_id,) = await bed.send([handset(1)], TEXT)
    await bed.until(lambda: bed.status(message_id)[0] == status, status)
    return str(message_id)


def events(bed: Bed, message_id: str) -> list[str]:
    rows = bed.rows("SELECT type FROM events WHERE message_id = %s ORDER BY id", message_id)
    return [row[0] for row in rows]


def parts(**changes: PartBehaviour) -> dict[str, PartBehaviour]:
    return {name.removeprefix("part"): change for name, change in changes.items()}


async def test_a_long_text_is_three_parts_under_one_reference_and_costs_three(bed: Bed) -> None:
    message_id = await deliver(bed, Behaviour())
    found = [find_concatenation(pdu.payload)[0] for pdu in bed.submitted()]
    assert all(found)
    assert [(part.sequence, part.total) for part in found if part] == [(1, 3), (2, 3), (3, 3)]
    assert len({part.reference for part in found if part}) == 1
    (row,) = bed.rows("SELECT segments, price_micros FROM messages WHERE id = %s", message_id)
    assert row == (3, 96_000)
    bed.check_books()


async def test_receipts_in_another_order_deliver_once(bed: Bed) -> None:
    behaviour = Behaviour(
        parts=parts(
            part1=PartBehaviour(delay_s=0.15),
            part2=PartBehaviour(delay_s=0.3),
            part3=PartBehaviour(delay_s=0.0),
        )
    )
    message_id = await deliver(bed, behaviour)
    assert bed.rows("SELECT delivered_segments FROM messages WHERE id = %s", message_id) == [(3,)]


@pytest.mark.parametrize("late", ["1", "2", "3"])
async def test_one_undelivered_part_fails_the_whole_whatever_the_order(bed: Bed, late: str) -> None:
    changes = {late: PartBehaviour(delay_s=0.3)}
    failing = PartBehaviour(receipts=("UNDELIV",), delay_s=0.3 if late == "2" else None)
    await deliver(bed, Behaviour(parts={**changes, "2": failing}), "error")
    (message,) = bed.rows("SELECT id FROM messages WHERE outgoing")
    await bed.until(
        lambda: (
            bed.rows("SELECT count(*) FROM message_segments WHERE receipt_state IS NOT NULL")
            == [(3,)]
        ),
        "three receipts",
    )
    assert bed.status(message[0]) == ("error", "MSG-019")


async def test_a_receipt_before_its_answer_is_matched(bed: Bed) -> None:
    await deliver(bed, Behaviour(delay_s=0.0, answer_delay_s=0.3))


@pytest.mark.parametrize("id_format", ["hex-dec", "dec-hex"])
async def test_ids_that_change_from_hex_to_decimal_are_matched(bed: Bed, id_format: str) -> None:
    behaviour = Behaviour(id_format=id_format)  # type: ignore[arg-type]
    await deliver(bed, behaviour)


async def test_with_one_receipt_of_three_the_text_stays_sent(bed: Bed) -> None:
    silent = PartBehaviour(receipts=())
    message_id = await deliver(bed, Behaviour(parts=parts(part2=silent, part3=silent)), "sent")
    await bed.until(
        lambda: (
            bed.rows("SELECT delivered_segments FROM messages WHERE id = %s", message_id) == [(1,)]
        ),
        "one receipt",
    )
    assert bed.statuses() == {"sent": 1}
    bed.check_books()


@pytest.mark.parametrize("second", ["DELIVRD", "ACCEPTD", "ENROUTE", "UNDELIV"])
async def test_receipts_after_the_last_one_change_nothing(bed: Bed, second: str) -> None:
    bed.run(
        "INSERT INTO webhooks (account_id, id, url, event_types, secret_encrypted, created_at,"
        " updated_at) VALUES (%s, gen_random_uuid(), 'http://127.0.0.1:1',"
        " '{message-sent,message-status}', '', now(), now())",
        bed.account_id,
    )
    behaviour = Behaviour(receipts=("DELIVRD", second), gap_s=0.1)  # type: ignore[arg-type]
    message_id = await deliver(bed, behaviour)
    deliver_resps = 6
    await bed.until(
        lambda: bed.simulator.network.log.count("in", 0x80000005) >= deliver_resps,
        "every receipt acknowledged",
    )
    assert bed.statuses() == {"delivered": 1}
    assert events(bed, message_id) == ["message-sent", "message-status"]
