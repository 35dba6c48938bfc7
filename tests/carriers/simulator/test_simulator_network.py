"""What handsets do when told, seen from a client's end of a real socket."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.carriers.carrier_rig import HANDSET, SENDER, Recorder, Rig, submit
from viesti.carriers.base import ReceiptState, Verdict
from viesti.carriers.simulator.behaviour import PRESETS, Behaviour, PartBehaviour, RuleBook
from viesti.carriers.simulator.faults import DropPlan, RateWindow
from viesti.carriers.simulator.log import IN, OUT
from viesti.carriers.simulator.wheel import TimerWheel
from viesti.carriers.smpp.codec import encode_bind, encode_pdu, encode_submit
from viesti.carriers.smpp.pdu import BindPdu, Command
from viesti.sms.dlr import id_candidates
from viesti.sms.segments import encode_message


def states(heard: Recorder) -> list[str]:
    return [delivery.receipt.state.value for delivery in heard.receipts if delivery.receipt]


def parts(text: str, reference: int = 9) -> list:
    encoded = encode_message(text, reference)
    return [
        submit(f"part {number}", payload, data_coding=encoded.data_coding, has_udh=True)
        for number, payload in enumerate(encoded.parts, 1)
    ]


@pytest.mark.parametrize(
    ("preset", "state", "error"),
    [
        ("undeliverable", ReceiptState.UNDELIVERABLE, "001"),
        ("expire", ReceiptState.EXPIRED, "002"),
        ("reject", ReceiptState.REJECTED, "003"),
    ],
)
async def test_a_handset_fails_in_the_state_that_was_set(
    rig: Rig, preset: str, state: ReceiptState, error: str
) -> None:
    rig.simulator.set_behaviour(HANDSET, PRESETS[preset])
    client, heard = await rig.bound()
    client.submit([submit("a")])
    await heard.until(lambda: heard.receipts)
    receipt = heard.receipts[0].receipt
    assert receipt is not None
    assert (receipt.state, receipt.carrier_error) == (state, error)


async def test_the_documented_numbers_behave_without_being_told(rig: Rig) -> None:
    client, heard = await rig.bound()
    client.submit(
        [
            submit("failing", destination="+15005550001"),
            submit("silent", destination="+15005550004"),
            submit("refused", destination="+15005550005"),
            submit("opting out", destination="+15005550007"),
        ]
    )
    await heard.until(lambda: heard.texts and len(heard.receipts) == 2)
    assert heard.verdicts() == {
        "failing": Verdict.ACCEPTED,
        "silent": Verdict.ACCEPTED,
        "refused": Verdict.REFUSED,
        "opting out": Verdict.ACCEPTED,
    }
    assert sorted(states(heard)) == ["DELIVRD", "UNDELIV"]
    assert heard.texts[0].payload == b"STOP"


async def test_receipts_of_parts_in_any_order_and_with_any_state(rig: Rig) -> None:
    behaviour = Behaviour(
        delay_s=0.1,
        parts={
            "1": PartBehaviour(delay_s=0.2),
            "2": PartBehaviour(receipts=("UNDELIV",), err="009", delay_s=0.3),
            "3": PartBehaviour(receipts=()),
        },
    )
    rig.simulator.set_behaviour(HANDSET, behaviour)
    client, heard = await rig.bound()
    client.submit(parts("x" * 600))
    await heard.until(lambda: len(heard.receipts) == 3)
    assert states(heard) == ["DELIVRD", "DELIVRD", "UNDELIV"]
    ids = {outcome.key: outcome.carrier_message_id for outcome in heard.outcomes}
    got = [delivery.receipt.carrier_message_id for delivery in heard.receipts if delivery.receipt]
    assert got == [ids["part 4"], ids["part 1"], ids["part 2"]]


async def test_duplicate_and_backward_receipts(rig: Rig) -> None:
    receipts = ("DELIVRD", "DELIVRD", "ENROUTE")
    rig.simulator.set_behaviour(HANDSET, Behaviour(receipts=receipts, gap_s=0.01))
    client, heard = await rig.bound()
    client.submit([submit("a")])
    await heard.until(lambda: len(heard.receipts) == 3)
    assert states(heard) == ["DELIVRD", "DELIVRD", "ENROUTE"]


@pytest.mark.parametrize("id_format", ["same", "hex-dec", "dec-hex"])
async def test_ids_in_hex_and_decimal(rig: Rig, id_format: str) -> None:
    rig.simulator.network.knobs.id_format = id_format  # type: ignore[assignment]
    client, heard = await rig.bound()
    client.submit([submit("a")])
    await heard.until(lambda: heard.receipts)
    answered = heard.outcomes[0].carrier_message_id
    receipt = heard.receipts[0].receipt
    assert receipt is not None
    assert (answered == receipt.carrier_message_id) == (id_format == "same")
    read = id_candidates(receipt.carrier_message_id, id_format)
    assert answered.lower().lstrip("0") in read


@pytest.mark.parametrize("form", ["text", "tlv", "both"])
async def test_receipts_by_text_and_by_parameters(rig: Rig, form: str) -> None:
    rig.simulator.network.knobs.receipt_form = form  # type: ignore[assignment]
    client, heard = await rig.bound()
    client.submit([submit("a", reference=4)])
    await heard.until(lambda: heard.receipts)
    (delivery,) = heard.receipts
    assert delivery.receipt is not None
    assert delivery.receipt.carrier_message_id == heard.outcomes[0].carrier_message_id
    assert delivery.receipt.state is ReceiptState.DELIVERED
    assert delivery.receipt.reference == (None if form == "text" else 4)
    assert (delivery.payload == b"") == (form == "tlv")


async def test_a_long_text_is_replied_to_once(rig: Rig) -> None:
    rig.simulator.set_behaviour(HANDSET, Behaviour(reply="got it", reply_delay_s=0.01))
    client, heard = await rig.bound()
    client.submit(parts("x" * 400))
    await heard.until(lambda: heard.texts)
    client.submit(parts("y" * 400, reference=10))
    await heard.until(lambda: len(heard.texts) == 2)
    await heard.until(lambda: len(heard.receipts) == 6)
    assert [text.payload for text in heard.texts] == [b"got it"] * 2
    assert heard.texts[0].destination == SENDER


async def test_a_handset_opts_out_once(rig: Rig) -> None:
    rig.simulator.set_behaviour(HANDSET, Behaviour(reply="STOP", reply_limit=1, reply_delay_s=0.0))
    client, heard = await rig.bound()
    client.submit([submit("a"), submit("b")])
    await heard.until(lambda: len(heard.receipts) == 2)
    assert [text.payload for text in heard.texts] == [b"STOP"]


async def test_nothing_is_confirmed_that_did_not_ask_for_it(rig: Rig) -> None:
    client, heard = await rig.bound()
    rig.simulator.set_behaviour("+13475550102", PRESETS["never_confirm"])
    client.submit([submit("a", destination="+13475550102"), submit("b")])
    await heard.until(lambda: heard.receipts)
    await asyncio.sleep(0.05)
    assert len(heard.receipts) == 1


@pytest.mark.parametrize("status", [0x58, 0x14])
async def test_what_exceeds_the_rate_is_throttled_per_bind(rig: Rig, status: int) -> None:
    rig.simulator.network.faults.set_rate(10, "bind", status)
    client, heard = await rig.bound()
    other, others = await rig.bound()
    client.submit([submit(key) for key in range(25)])
    other.submit([submit(key) for key in range(5)])
    await heard.until(lambda: len(heard.outcomes) == 25)
    await others.until(lambda: len(others.outcomes) == 5)
    verdicts = Counter(outcome.verdict for outcome in heard.outcomes)
    assert verdicts == {Verdict.ACCEPTED: 10, Verdict.THROTTLED: 15}
    assert set(others.verdicts().values()) == {Verdict.ACCEPTED}
    assert heard.outcomes[-1].carrier_status == status


def test_the_last_pattern_wins_and_a_handset_wins_over_patterns() -> None:
    rules = RuleBook()
    rules.set_patterns({"1347*": PRESETS["reject"], "13475550101": PRESETS["expire"]})
    assert rules.behaviour_of(b"13475550101") is PRESETS["expire"]
    assert rules.behaviour_of(b"13475550102") is PRESETS["reject"]
    assert rules.behaviour_of(b"12125550102") is PRESETS["deliver"]
    rules.set_patterns({"+1*": PRESETS["refuse"]})
    assert rules.behaviour_of(b"13475550101") is PRESETS["refuse"]
    rules.set_handset("13475550101", PRESETS["reply"])
    assert rules.behaviour_of(b"13475550101") is PRESETS["reply"]
    rules.set_handset("13475550101", None)
    rules.remove_pattern("+1*")
    assert rules.behaviour_of(b"13475550101") is PRESETS["expire"]


async def test_one_failing_timer_does_not_stop_the_others() -> None:
    ran: list[int] = []
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    wheel = TimerWheel(lambda: None)
    for number in (1, 0, 2):
        wheel.add(0.0, lambda value: ran.append(6 // value), number)
    wheel.add(0.03, ran.append, 9)
    await asyncio.sleep(0.1)
    assert ran == [6, 3, 9]
    assert len(failures) == 1


def test_a_rate_holds_over_any_one_second() -> None:
    window = RateWindow(3)
    assert [window.allow(at_s) for at_s in (0.0, 0.1, 0.2, 0.3, 0.99)] == [True] * 3 + [False] * 2
    assert [window.allow(at_s) for at_s in (1.0, 1.05, 1.1, 1.2)] == [True, False, True, True]
    slow = RateWindow(0.5)
    assert [slow.allow(at_s) for at_s in (0.0, 1.9, 2.0)] == [True, False, True]


async def test_a_cut_before_the_acknowledgement_makes_the_text_come_again(rig: Rig) -> None:
    _, heard = await rig.bound()
    rig.simulator.plan_drop(DropPlan("before_ack"))
    rig.simulator.send_text(HANDSET, SENDER, "hello")
    await heard.until(lambda: len(heard.texts) == 2)
    assert heard.texts[0].payload == heard.texts[1].payload
    assert rig.simulator.network.log.count(OUT, Command.DELIVER_SM) == 2


async def test_a_cut_text_that_was_not_taken_never_arrives(rig: Rig) -> None:
    client, heard = await rig.bound()
    rig.simulator.plan_drop(DropPlan("before_answer", after=2, taken=False))
    client.submit([submit("a"), submit("b"), submit("c")])
    await heard.until(lambda: heard.bound == 2 and heard.receipts)
    assert rig.simulator.network.log.taken == 1
    assert heard.verdicts() == {
        "a": Verdict.ACCEPTED,
        "b": Verdict.UNKNOWN,
        "c": Verdict.UNKNOWN,
    }


async def test_random_pdus_of_a_bound_peer_harm_nobody(rig: Rig) -> None:
    client, heard = await rig.bound()
    chance = random.Random(7)
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.simulator.smpp_port)
    bind = encode_bind(BindPdu(b"other", b"secret"))
    writer.write(encode_pdu(Command.BIND_TRANSCEIVER, 0, 1, bind))
    harmless = [command for command in Command if command != Command.UNBIND]
    for sequence in range(2, 400):
        command = chance.choice([*harmless, chance.getrandbits(32)])
        body = chance.randbytes(chance.randrange(80))
        writer.write(encode_pdu(command, chance.choice([0, 8]), sequence, body))
    writer.write(encode_pdu(Command.ENQUIRE_LINK, 0, 0x7777))
    octets = b""
    async with asyncio.timeout(5):
        while encode_pdu(Command.ENQUIRE_LINK_RESP, 0, 0x7777) not in octets:
            octets += await reader.read(65536)
    writer.close()
    await writer.wait_closed()
    client.submit([submit("a")])
    await heard.until(lambda: heard.receipts)


async def test_an_answer_that_is_lost_is_told_by_the_receipt(rig: Rig) -> None:
    rig.simulator.set_behaviour(HANDSET, PRESETS["lost_answer"])
    client, heard = await rig.bound(response_timeout_s=0.2)
    client.submit([submit("a", reference=11)])
    await heard.until(lambda: heard.receipts and heard.outcomes)
    assert heard.verdicts() == {"a": Verdict.UNKNOWN}
    assert heard.receipts[0].receipt is not None
    assert heard.receipts[0].receipt.reference == 11


async def test_texts_wait_for_a_bind_that_receives(rig: Rig) -> None:
    rig.simulator.send_text(HANDSET, SENDER, "early")
    _, heard = await rig.bound()
    await heard.until(lambda: heard.texts)
    assert heard.texts[0].payload == b"early"


async def test_a_text_that_is_taken_twice_is_counted(rig: Rig) -> None:
    client, heard = await rig.bound()
    client.submit([submit("a", b"one"), submit("b", b"two"), submit("c", b"one")])
    await heard.until(lambda: len(heard.outcomes) == 3)
    log = rig.simulator.network.log
    assert (log.taken, log.duplicates) == (3, 1)
    assert log.times_taken(SENDER[1:], HANDSET[1:], b"one") == 2
    assert log.count(IN, Command.SUBMIT_SM) == 3


async def test_a_submit_on_a_receiver_is_refused(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.simulator.smpp_port)
    body = b"viesti\0secret\0\0\x34\0\0\0"
    writer.write((16 + len(body)).to_bytes(4) + b"\0\0\0\x01\0\0\0\0\0\0\0\x01" + body)
    writer.write(encode_submit(2, SENDER, HANDSET, b"hello", 0, False, None))
    answer = await reader.readexactly(16)
    await reader.readexactly(int.from_bytes(answer[:4]) - 16)
    assert answer[4:16] == b"\x80\0\0\x01\0\0\0\0\0\0\0\x01"
    refused = await reader.readexactly(16)
    assert refused[4:16] == b"\x80\0\0\x04\0\0\0\x04\0\0\0\x02"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0\0\0\x0f" + b"\0" * 12,
        b"\x7f\xff\xff\xff" + b"\0" * 12,
    ],
)
async def test_nonsense_is_nacked_and_hung_up_on(rig: Rig, octets: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.simulator.smpp_port)
    writer.write(octets)
    async with asyncio.timeout(5):
        answer = await reader.read()
    assert answer == b"\0\0\0\x10\x80\0\0\0\0\0\0\x02\0\0\0\0"
    writer.close()
    await writer.wait_closed()
