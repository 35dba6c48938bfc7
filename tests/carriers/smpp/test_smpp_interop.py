"""Our client against somebody else's SMSC, and our SMSC against other people's clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import smpp34
import smpplib.client
import smpplib.consts

from tests.carriers.carrier_rig import HANDSET, SENDER, Rig, submit
from viesti.carriers.base import ReceiptState, Verdict
from viesti.carriers.simulator.log import OUT
from viesti.carriers.smpp.pdu import Command

RECEIPT = (
    b"id:%b sub:001 dlvrd:001 submit date:2611241029 done date:2611241029 "
    b"stat:DELIVRD err:000 text:"
)


async def test_our_client_with_another_smsc(rig: Rig, free_port: Callable[[], int]) -> None:
    port = free_port()
    server = smpp34.Server("127.0.0.1", port)
    await server.start()
    heard = await rig.start(port=port)
    async with asyncio.timeout(10):
        esme = await server.next()
        assert isinstance(esme, smpp34.Esme)
        await heard.until(lambda: heard.bound)
        assert heard.client is not None
        heard.client.submit([submit("a", b"take", reference=5), submit("b", b"leave")])
        for _ in range(2):
            event = await server.next()
            assert isinstance(event, smpp34.SubmitSmEvent)
            assert (event.source_addr, event.destination_addr) == (SENDER[1:], HANDSET[1:])
            assert event.registered_delivery == 1
            if event.short_message == b"take":
                event.accept("0A1B")
            else:
                event.reject(smpp34.ESME_RTHROTTLED)
        await heard.until(lambda: len(heard.outcomes) == 2)
        answer = await esme.deliver_sm(
            SENDER[1:],
            RECEIPT % b"0A1B",
            source_addr=HANDSET[1:],
            source_addr_ton=1,
            source_addr_npi=1,
            esm_class=4,
        )
    assert answer.is_success
    assert heard.verdicts() == {"a": Verdict.ACCEPTED, "b": Verdict.THROTTLED}
    receipt = heard.receipts[0].receipt
    assert receipt is not None
    assert (receipt.carrier_message_id, receipt.state) == ("0A1B", ReceiptState.DELIVERED)
    assert heard.receipts[0].source == HANDSET
    await heard.client.close(1.0)
    await server.stop()


async def test_our_smsc_with_an_asynchronous_client(rig: Rig) -> None:
    client = smpp34.Client("127.0.0.1", rig.simulator.smpp_port, "viesti", "secret")
    async with asyncio.timeout(10):
        smsc = await client.connect()
        answer = await smsc.submit_sm(
            HANDSET[1:],
            b"hello",
            source_addr=SENDER[1:],
            source_addr_ton=1,
            source_addr_npi=1,
            dest_addr_ton=1,
            dest_addr_npi=1,
            registered_delivery=1,
        )
        assert answer.is_success
        receipt = await smsc.next()
        assert isinstance(receipt, smpp34.DeliverSmEvent)
        assert receipt.esm_class == 4
        assert f"id:{answer.message_id} ".encode() in receipt.short_message
        rig.simulator.send_text(HANDSET, SENDER, "and back")
        text = await smsc.next()
        assert isinstance(text, smpp34.DeliverSmEvent)
        assert (text.short_message, text.source_addr) == (b"and back", HANDSET[1:])
        await smsc.unbind()
    await client.stop()


async def test_our_smsc_with_a_blocking_client(rig: Rig) -> None:
    def talk() -> tuple[list[object], list[object]]:
        answers: list[object] = []
        inbound: list[object] = []
        client = smpplib.client.Client(
            "127.0.0.1", rig.simulator.smpp_port, timeout=5, allow_unknown_opt_params=True
        )
        client.set_message_sent_handler(lambda pdu: answers.append(pdu.message_id))
        client.set_message_received_handler(lambda pdu: inbound.append(pdu) and None)
        client.connect()
        client.bind_transceiver(system_id="viesti", password="secret")
        client.send_message(
            source_addr_ton=smpplib.consts.SMPP_TON_INTL,
            source_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
            source_addr=SENDER[1:],
            dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
            dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
            destination_addr=HANDSET[1:],
            short_message=b"hello",
            registered_delivery=True,
        )
        while not (answers and inbound):
            client.read_once()
        client.unbind()
        client.disconnect()
        return answers, inbound

    answers, inbound = await asyncio.to_thread(talk)
    assert len(answers) == len(inbound) == 1
    assert answers[0] in inbound[0].short_message  # type: ignore[attr-defined]
    assert rig.simulator.network.log.count(OUT, Command.UNBIND_RESP) == 1


async def test_our_smsc_refuses_a_wrong_password_of_a_foreign_client(rig: Rig) -> None:
    def talk() -> int:
        client = smpplib.client.Client(
            "127.0.0.1", rig.simulator.smpp_port, timeout=5, allow_unknown_opt_params=True
        )
        client.connect()
        try:
            client.bind_transceiver(system_id="viesti", password="wrong")
        except smpplib.exceptions.PDUError as error:
            return int(error.args[1])
        finally:
            client.disconnect()
        return 0

    assert await asyncio.to_thread(talk) == 0x0E
