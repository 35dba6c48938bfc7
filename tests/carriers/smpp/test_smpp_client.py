"""The client on a real socket against the simulator, which does what real SMSCs do to it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import uvloop

from tests.carriers.carrier_rig import HANDSET, SENDER, Rig, submit
from viesti.carriers.base import Receipt, ReceiptState, Verdict
from viesti.carriers.simulator.behaviour import PRESETS, Behaviour
from viesti.carriers.simulator.faults import DropPlan
from viesti.carriers.simulator.log import IN, OUT
from viesti.carriers.smpp.pdu import Command


@pytest.mark.parametrize("bind_mode", ["transceiver", "tx_rx"])
async def test_a_text_is_answered_and_its_receipt_comes(rig: Rig, bind_mode: str) -> None:
    client, heard = await rig.bound(bind_mode=bind_mode)
    client.submit([submit("a", reference=77)])
    await heard.until(lambda: heard.receipts)
    (outcome,) = heard.outcomes
    assert (outcome.key, outcome.verdict, outcome.late) == ("a", Verdict.ACCEPTED, False)
    (delivery,) = heard.receipts
    assert delivery.receipt == Receipt(
        outcome.carrier_message_id, ReceiptState.DELIVERED, "000", 77
    )
    assert (delivery.source, delivery.destination) == (HANDSET, SENDER)
    binds = {(bind.transmits, bind.receives) for bind in rig.simulator.binds}
    wanted = {(True, True)} if bind_mode == "transceiver" else {(True, False), (False, True)}
    assert binds == wanted


async def test_what_arrives_is_what_was_sent(rig: Rig) -> None:
    client, heard = await rig.bound()
    client.submit([submit("a", b"\x05\0\3\1\2\1\x04\x36", data_coding=8, has_udh=True)])
    await heard.until(lambda: heard.outcomes)
    entry = next(e for e in rig.simulator.network.log.entries() if e[4] == Command.SUBMIT_SM)
    message = entry[7]
    assert not isinstance(message, bytes)
    assert message is not None
    assert message.short_message == b"\x05\0\3\1\2\1\x04\x36"
    assert (message.esm_class, message.data_coding, message.registered_delivery) == (0x40, 8, 1)


async def test_many_texts_cross_in_few_events(rig: Rig) -> None:
    client, heard = await rig.bound(window=500)
    assert client.room == 500
    client.submit([submit(key) for key in range(500)])
    assert client.room == 0
    await heard.until(lambda: len(heard.receipts) == 500)
    assert heard.verdicts() == dict.fromkeys(range(500), Verdict.ACCEPTED)
    assert client.room == 500


async def test_a_wrong_password_is_refused_with_its_status(rig: Rig) -> None:
    heard = await rig.start(password="wrong")
    await heard.until(lambda: heard.reasons)
    assert "0x0000000E" in heard.reasons[0]
    assert not heard.bound


async def test_an_unknown_system_id_is_refused_with_its_status(rig: Rig) -> None:
    heard = await rig.start(system_id="nobody")
    await heard.until(lambda: heard.reasons)
    assert "0x0000000F" in heard.reasons[0]


@pytest.mark.parametrize("status", [0x58, 0x14, 0x08, 0x0B])
async def test_refusals_reach_dispatch_by_their_meaning(rig: Rig, status: int) -> None:
    rig.simulator.set_behaviour(HANDSET, Behaviour(answer="refuse", status=status))
    client, heard = await rig.bound()
    client.submit([submit("a")])
    await heard.until(lambda: heard.outcomes)
    wanted = {
        0x58: Verdict.THROTTLED,
        0x14: Verdict.THROTTLED,
        0x08: Verdict.RETRY,
        0x0B: Verdict.REFUSED,
    }
    assert heard.outcomes[0].verdict is wanted[status]
    assert heard.outcomes[0].carrier_status == status


async def test_a_silent_carrier_makes_texts_unknown_and_a_late_answer_settles_them(
    rig: Rig,
) -> None:
    rig.simulator.set_behaviour(HANDSET, Behaviour(answer_delay_s=0.6, receipts=()))
    client, heard = await rig.bound(response_timeout_s=0.2)
    client.submit([submit("a")])
    await heard.until(lambda: len(heard.outcomes) == 2)
    first, second = heard.outcomes
    assert (first.verdict, first.late) == (Verdict.UNKNOWN, False)
    assert (second.verdict, second.late) == (Verdict.ACCEPTED, True)


async def test_a_receipt_may_come_before_the_answer(rig: Rig) -> None:
    rig.simulator.set_behaviour(HANDSET, Behaviour(delay_s=0.0, answer_delay_s=0.2))
    client, heard = await rig.bound()
    client.submit([submit("a")])
    await heard.until(lambda: heard.outcomes)
    (delivery,) = heard.receipts
    assert delivery.receipt is not None
    assert delivery.receipt.carrier_message_id == heard.outcomes[0].carrier_message_id


async def test_a_cut_before_the_answer_leaves_only_that_text_unknown(rig: Rig) -> None:
    client, heard = await rig.bound()
    rig.simulator.plan_drop(DropPlan("before_answer", after=3))
    client.submit([submit(key) for key in range(3)])
    await heard.until(lambda: heard.bound == 2)
    assert heard.verdicts() == {0: Verdict.ACCEPTED, 1: Verdict.ACCEPTED, 2: Verdict.UNKNOWN}
    assert len(heard.reasons) == 1
    # The network had taken it on: its receipt comes over the next bind.
    await heard.until(lambda: len(heard.receipts) == 3)
    assert rig.simulator.network.log.taken == 3


async def test_a_cut_after_the_answer_leaves_nothing_unknown(rig: Rig) -> None:
    client, heard = await rig.bound()
    rig.simulator.plan_drop(DropPlan("after_answer", after=1))
    client.submit([submit("a")])
    await heard.until(lambda: heard.bound == 2)
    assert heard.verdicts() == {"a": Verdict.ACCEPTED}


async def test_what_could_not_be_written_is_to_be_retried(rig: Rig) -> None:
    client, heard = await rig.bound()
    await client.close(0.0)
    client.submit([submit("a"), submit("b")])
    await heard.until(lambda: heard.outcomes)
    assert heard.verdicts() == {"a": Verdict.RETRY, "b": Verdict.RETRY}
    assert rig.simulator.network.log.taken == 0


async def test_an_inbound_text_is_acknowledged_only_when_told(rig: Rig) -> None:
    client, heard = await rig.bound()
    heard.acknowledges = False
    rig.simulator.send_text(HANDSET, SENDER, "hello")
    await heard.until(lambda: heard.texts)
    log = rig.simulator.network.log
    await asyncio.sleep(0.05)
    assert log.count(IN, Command.DELIVER_SM_RESP) == 0
    client.acknowledge(heard.texts)
    client.acknowledge(heard.texts)
    client.submit([submit("a")])
    await heard.until(lambda: heard.outcomes)
    assert log.count(IN, Command.DELIVER_SM_RESP, 0) == 1


async def test_a_refused_inbound_text_comes_again(rig: Rig) -> None:
    client, heard = await rig.bound()
    heard.acknowledges = False
    rig.simulator.send_text(HANDSET, SENDER, "hello")
    await heard.until(lambda: len(heard.texts) == 1)
    client.refuse(heard.texts)
    await heard.until(lambda: len(heard.texts) == 2)
    client.acknowledge(heard.texts)
    assert heard.texts[0].payload == heard.texts[1].payload == b"hello"


async def test_an_unacknowledged_text_comes_again_over_the_next_bind(rig: Rig) -> None:
    client, heard = await rig.bound()
    heard.acknowledges = False
    rig.simulator.send_text(HANDSET, SENDER, "hello")
    await heard.until(lambda: len(heard.texts) == 1)
    rig.simulator.drop_all()
    await heard.until(lambda: len(heard.texts) == 2)
    client.acknowledge(heard.texts)  # the first one's token is stale, and ignored
    client.submit([submit("a")])
    await heard.until(lambda: heard.receipts)
    assert rig.simulator.network.log.count(IN, Command.DELIVER_SM_RESP) == 1


async def test_a_long_inbound_text_comes_in_parts_with_headers(rig: Rig) -> None:
    _, heard = await rig.bound()
    rig.simulator.send_text(HANDSET, SENDER, "ж" * 150)
    await heard.until(lambda: len(heard.texts) == 3)
    assert all(text.has_udh and text.data_coding == 8 for text in heard.texts)
    assert [text.payload[:6][-1] for text in heard.texts] == [1, 2, 3]


async def test_closing_waits_for_answers_and_unbinds(rig: Rig) -> None:
    rig.simulator.set_behaviour(HANDSET, Behaviour(answer_delay_s=0.2))
    client, heard = await rig.bound()
    client.submit([submit("a")])
    await client.close(5.0)
    assert heard.verdicts() == {"a": Verdict.ACCEPTED}
    assert rig.simulator.network.log.count(IN, Command.UNBIND) == 1
    assert client.room == 0


async def test_closing_does_not_wait_longer_than_told(rig: Rig) -> None:
    rig.simulator.set_behaviour(HANDSET, PRESETS["no_answer"])
    client, heard = await rig.bound()
    client.submit([submit("a")])
    await client.close(0.05)
    assert heard.verdicts() == {"a": Verdict.UNKNOWN}


async def test_an_unbind_of_the_carrier_is_granted_and_followed_by_a_new_bind(rig: Rig) -> None:
    _, heard = await rig.bound()
    rig.simulator.unbind_all()
    await heard.until(lambda: heard.bound == 2)
    assert "unbound" in heard.reasons[0]
    assert rig.simulator.network.log.count(IN, Command.UNBIND_RESP) == 1


async def test_a_dead_link_is_noticed_and_replaced(rig: Rig) -> None:
    client, heard = await rig.bound(enquire_link_s=0.1, enquire_timeout_s=0.1)
    await asyncio.sleep(0.3)
    assert rig.simulator.network.log.count(OUT, Command.ENQUIRE_LINK_RESP) > 0
    assert not heard.reasons
    rig.simulator.network.faults.is_silent = True
    await heard.until(lambda: heard.reasons)
    assert "enquire_link" in heard.reasons[0]
    rig.simulator.network.faults.is_silent = False
    await heard.until(lambda: heard.bound == 2)
    assert client.is_bound


async def test_an_outage_is_told_and_ends(rig: Rig) -> None:
    client, heard = await rig.bound()
    await rig.simulator.stop_listening()
    rig.simulator.drop_all()
    await heard.until(lambda: any("no connection" in reason for reason in heard.reasons))
    assert client.room == 0
    await rig.simulator.listen_again()
    await heard.until(lambda: heard.bound == 2)
    client.submit([submit("a")])
    await heard.until(lambda: heard.receipts)


async def test_a_lost_receiver_stops_submits_until_it_is_back(rig: Rig) -> None:
    client, heard = await rig.bound(bind_mode="tx_rx")
    receiver = next(bind for bind in rig.simulator.binds if bind.receives)
    receiver.drop()
    await heard.until(lambda: heard.reasons)
    assert client.room == 0
    await heard.until(lambda: heard.bound == 2)
    assert client.room == rig.settings.window


async def test_reading_pauses_when_nothing_is_acknowledged(rig: Rig) -> None:
    client, heard = await rig.bound(max_unacknowledged=10)
    heard.acknowledges = False
    for _ in range(30):
        rig.simulator.send_text(HANDSET, SENDER, "x" * 1500)
    await heard.until(lambda: len(heard.texts) > 10)
    client.acknowledge(heard.texts)
    heard.acknowledges = True
    await heard.until(lambda: len(heard.texts) == 300)


async def test_a_peer_that_speaks_nonsense_is_left_and_tried_again(rig: Rig) -> None:
    connections: asyncio.Queue[None] = asyncio.Queue()

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.put_nowait(None)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    heard = await rig.start(port=port)
    await heard.until(lambda: heard.reasons)
    async with asyncio.timeout(5):
        await connections.get()
        await connections.get()
    assert heard.client is not None
    await heard.client.close(0.0)
    server.close()
    await server.wait_closed()
    assert "impossible length" in heard.reasons[0]


async def test_closing_waits_for_what_came_in_to_be_acknowledged(rig: Rig) -> None:
    client, heard = await rig.bound()
    heard.acknowledges = False
    rig.simulator.send_text(HANDSET, SENDER, "hello")
    await heard.until(lambda: heard.texts)
    closing = asyncio.create_task(client.close(5.0))
    await asyncio.sleep(0.02)
    client.acknowledge(heard.texts)
    await closing
    log = rig.simulator.network.log
    assert (log.count(OUT, Command.DELIVER_SM), log.count(IN, Command.DELIVER_SM_RESP, 0)) == (1, 1)


async def test_a_host_that_cannot_be_is_told_and_tried_again(rig: Rig) -> None:
    heard = await rig.start(host="a..b")
    await heard.until(lambda: heard.reasons)
    assert "no connection" in heard.reasons[0]


def test_it_runs_on_uvloop() -> None:
    async def talk() -> None:
        rig = Rig()
        await rig.simulator.start()
        client, heard = await rig.bound(window=200)
        client.submit([submit(key) for key in range(200)])
        await heard.until(lambda: len(heard.receipts) == 200)
        await rig.stop()

    uvloop.run(talk())


async def test_cancelling_the_run_hangs_up(rig: Rig) -> None:
    _, heard = await rig.bound()
    _, task = rig._running[0]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    rig._running.clear()
    await heard.until(lambda: heard.reasons)


async def test_two_binds_of_one_account_share_what_comes_in(rig: Rig) -> None:
    _, first = await rig.bound()
    _, second = await rig.bound()
    for _ in range(10):
        rig.simulator.send_text(HANDSET, SENDER, "hello")
    await first.until(lambda: first.texts)
    await second.until(lambda: second.texts)
    await first.until(lambda: len(first.texts) + len(second.texts) == 10)


async def test_accounts_do_not_see_each_other_s_texts(rig: Rig) -> None:
    client, ours = await rig.bound()
    other_client, theirs = await rig.bound(system_id="other")
    client.submit([submit("a")])
    other_client.submit([submit("b", source="+12025550199")])
    await ours.until(lambda: ours.receipts)
    await theirs.until(lambda: theirs.receipts)
    rig.simulator.send_text(HANDSET, "+12025550199", "for the other")
    await theirs.until(lambda: theirs.texts)
    assert len(ours.deliveries) == 1
    assert replace(theirs.receipts[0], token=None).destination == "+12025550199"
