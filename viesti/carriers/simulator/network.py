"""The simulated phone network behind the SMSC: decides about each text and moves it along.

``connection`` hands over submits and asks what to answer; receipts, late answers and replies
happen through one timer wheel and leave through one outbox per system_id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from viesti.carriers.simulator.behaviour import Behaviour, RuleBook
from viesti.carriers.simulator.faults import Faults
from viesti.carriers.simulator.handsets import HandsetStore, Part, Sent, concatenation_of
from viesti.carriers.simulator.log import PduLog
from viesti.carriers.simulator.logfile import JsonLinesFile
from viesti.carriers.simulator.outbox import Outbox, Outgoing
from viesti.carriers.simulator.receipts import encode_receipt, receipt_id, submit_id
from viesti.carriers.simulator.settings import IdFormat, ReceiptForm, SimulatorSettings
from viesti.carriers.simulator.wheel import TimerWheel
from viesti.carriers.smpp.addresses import encode_address
from viesti.carriers.smpp.codec import encode_message
from viesti.carriers.smpp.pdu import ESM_UDHI, MessagePdu
from viesti.kit.errors import Invalid
from viesti.sms.segments import encode_message as encode_text

_SENDERS_KEPT = 100_000


@dataclass(slots=True)
class NetworkKnobs:
    """What holds for the whole network; changed through the control API."""

    receipt_delay_s: float
    response_delay_s: float
    id_format: IdFormat = "same"
    receipt_form: ReceiptForm = "both"


class Decision(NamedTuple):
    """What the connection does with a submit."""

    status: int = 0
    message_id: bytes = b""
    delay_s: float = 0.0
    action: Literal["answer", "silence", "drop_before", "drop_after"] = "answer"


class _Receipt(NamedTuple):
    system_id: str
    part: Part
    message_id: str
    submitted_s: float
    state: str
    err: str
    form: ReceiptForm


class Network:
    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.knobs = NetworkKnobs(settings.receipt_delay_s, settings.response_delay_s)
        self.rules = RuleBook()
        self.log_file: JsonLinesFile | None = None
        if settings.log_folder is not None:
            self.log_file = JsonLinesFile(settings.log_folder, settings.log_file_octets)
        self.log = PduLog(settings.log_size, self.log_file)
        self.handsets = HandsetStore(settings.handsets_kept, settings.texts_kept_per_handset)
        self.faults = Faults()
        self.wheel = TimerWheel(self.flush)
        self.outboxes: dict[str, Outbox] = {
            system_id: Outbox(settings.deliveries_kept) for system_id in settings.accounts
        }
        self._loop = asyncio.get_running_loop()
        self._owners: dict[bytes, str] = {}
        self._reference = 0
        # Ids must not come again after a restart, since receipts are matched by them for days.
        self._last_id = int(time.time() * 1000) * 1000

    def reset(self) -> None:
        """Back to the first moment, but binds and the numbering of ids and log entries stay."""
        self.knobs = NetworkKnobs(self.settings.receipt_delay_s, self.settings.response_delay_s)
        self.rules.reset()
        self.log.reset()
        self.handsets.reset()
        self.faults.reset()
        self.wheel.clear()
        for outbox in self.outboxes.values():
            outbox.clear()

    def close(self) -> None:
        """Stop all that is due and write out the log."""
        self.wheel.clear()
        if self.log_file is not None:
            self.log_file.close()

    def flush(self) -> None:
        for outbox in self.outboxes.values():
            if outbox.waiting:
                outbox.flush()

    # Texts to handsets

    def take(self, system_id: str, bind: str, message: MessagePdu) -> Decision:
        """Decide about one submit_sm."""
        faults = self.faults
        if faults.limits_rate:
            status = faults.throttle(system_id, bind, message.source, self._loop.time())
            if status:
                return Decision(status)
        behaviour = self.rules.behaviour_of(message.destination)
        if behaviour.answer == "refuse":
            return Decision(behaviour.status)
        action = "silence" if behaviour.answer == "none" else "answer"
        if behaviour.answer == "drop_before" or behaviour.answer == "drop_after":
            action = behaviour.answer
        if faults.has_plan:
            planned = faults.on_submit()
            if planned == "drop_untaken":
                return Decision(action="drop_before")
            action = planned or action
        self._last_id += 1
        number = self._last_id
        self.log.count_taken(message)
        id_format = behaviour.id_format or self.knobs.id_format
        answer_id = submit_id(number, id_format)
        self._receive(system_id, message, behaviour, number, answer_id, id_format)
        delay_s = behaviour.answer_delay_s
        if delay_s is None:
            delay_s = self.knobs.response_delay_s
        return Decision(0, answer_id.encode(), delay_s, action)

    def _receive(
        self,
        system_id: str,
        message: MessagePdu,
        behaviour: Behaviour,
        number: int,
        answer_id: str,
        id_format: IdFormat,
    ) -> None:
        owners = self._owners
        if message.source not in owners:
            if len(owners) >= _SENDERS_KEPT:
                owners.clear()
            owners[message.source] = system_id
        digits = message.destination.decode("latin-1")
        store = self.handsets
        handset = store.handset(digits)
        part = Part(store.next_number(), message, answer_id)
        handset.texts.append(part)
        store.note(digits)
        if behaviour.receipts or behaviour.parts:
            self._plan_receipts(system_id, part, behaviour, receipt_id(number, id_format))
        if (
            behaviour.reply is not None
            and (behaviour.reply_limit is None or handset.replies < behaviour.reply_limit)
            and handset.completes(message)
        ):
            handset.replies += 1
            sender = message.source.decode("latin-1")
            to = f"+{sender}" if message.source_ton_npi[0] == 1 else sender
            reply = (digits, to, behaviour.reply, system_id)
            self.wheel.add(behaviour.reply_delay_s, self._reply, reply)

    def _plan_receipts(
        self, system_id: str, part: Part, behaviour: Behaviour, message_id: str
    ) -> None:
        message = part.message
        if not message.registered_delivery & 0x03:
            return
        states, err, delay_s = behaviour.receipts, behaviour.err, behaviour.delay_s
        if behaviour.parts:
            concatenation = concatenation_of(message)
            number = concatenation.sequence if concatenation else 1
            special = behaviour.parts.get(str(number))
            if special is not None:
                states = states if special.receipts is None else special.receipts
                err = err if special.err is None else special.err
                delay_s = delay_s if special.delay_s is None else special.delay_s
        if delay_s is None:
            delay_s = self.knobs.receipt_delay_s
        form = behaviour.receipt_form or self.knobs.receipt_form
        for index, state in enumerate(states):
            receipt = _Receipt(
                system_id,
                part,
                message_id,
                part.at_s,
                state,
                "000" if state == "DELIVRD" else err,
                form,
            )
            self.wheel.add(delay_s + index * behaviour.gap_s, self._send_receipt, receipt)

    def _send_receipt(self, receipt: _Receipt) -> None:
        part = receipt.part
        body = encode_receipt(
            part.message,
            receipt.message_id,
            receipt.submitted_s,
            receipt.state,
            receipt.err,
            receipt.form,
        )
        part.state = f"{receipt.state} sent"
        self._note(part)
        self.outboxes[receipt.system_id].put(Outgoing(body, _Arrival(self, part, receipt.state)))

    def _note(self, part: Part) -> None:
        self.handsets.note(part.message.destination.decode("latin-1"))

    # Texts from handsets

    def _reply(self, reply: tuple[str, str, str, str]) -> None:
        digits, to, text, system_id = reply
        self.send_text(digits, to, text, system_id)

    def send_text(self, digits: str, to: str, text: str, system_id: str | None = None) -> Sent:
        """A text from a handset to one of our senders, in as many parts as it takes.

        Without ``system_id`` it goes to whoever has sent from ``to`` before, else to a system
        that is bound. Raises Invalid for an empty text or one that no header can count.
        """
        if not text:
            raise Invalid("the text is empty")
        destination = encode_address(to)
        owner = system_id or self._owner(destination[2:-1])
        outbox = self.outboxes.get(owner)
        if outbox is None:
            raise Invalid(f"there is no system_id {owner}")
        self._reference = self._reference + 1 & 0xFF
        try:
            encoded = encode_text(text, self._reference)
        except ValueError as error:
            raise Invalid(f"the text is too long: {error}") from error
        source = encode_address("+" + digits if len(digits) > 6 else digits)
        sent = Sent(self.handsets.next_number(), to, text, len(encoded.parts))
        self.handsets.handset(digits).texts.append(sent)
        arrived = self._when_sent_arrives(digits, sent)
        for payload in encoded.parts:
            body = encode_message(
                MessagePdu(
                    source[:2],
                    source[2:-1],
                    destination[:2],
                    destination[2:-1],
                    ESM_UDHI if len(encoded.parts) > 1 else 0,
                    encoded.data_coding,
                    payload,
                )
            )
            outbox.put(Outgoing(body, arrived))
        self.handsets.note(digits)
        outbox.flush()
        return sent

    def _when_sent_arrives(self, digits: str, sent: Sent) -> Callable[[], None]:
        def arrived() -> None:
            sent.confirmed()
            self.handsets.note(digits)

        return arrived

    def _owner(self, sender: bytes) -> str:
        owner = self._owners.get(sender)
        if owner is not None:
            return owner
        for system_id, outbox in self.outboxes.items():
            if outbox.has_receiver:
                return system_id
        return next(iter(self.outboxes))


class _Arrival:
    """Notes on a handset's part that its receipt was acknowledged; cheaper than a closure."""

    __slots__ = ("network", "part", "state")

    def __init__(self, network: Network, part: Part, state: str) -> None:
        self.network = network
        self.part = part
        self.state = state

    def __call__(self) -> None:
        self.part.state = f"{self.state} acknowledged"
        self.network.handsets.note(self.part.message.destination.decode("latin-1"))
