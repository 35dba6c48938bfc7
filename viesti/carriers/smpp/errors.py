"""What a carrier's command_status means to us; used by the session for each refused submit.

Numbers are those of SMPP 3.4 section 5.1.3, with the four service codes that SMPP 5.0 section
4.7.6 added. A status that is not listed is final and "unknown provider error": to repeat a text
that a carrier refused for a reason we do not know would repeat the reason.
"""

from __future__ import annotations

from viesti.carriers.base import Verdict

UNKNOWN_ERROR = "MSG-006"
TOO_LONG = "MSG-007"
PROHIBITED = "MSG-009"
NO_ROUTE = "MSG-018"
UNDELIVERED = "MSG-019"
REJECTED = "MSG-023"
BAD_SENDER = "MSG-001"
THROTTLED = "MSG-028"
CARRIER_FAILURE = "MSG-033"

_MEANINGS: dict[int, tuple[Verdict, str]] = {
    0x01: (Verdict.REFUSED, TOO_LONG),  # invalid message length
    0x04: (Verdict.RETRY, CARRIER_FAILURE),  # incorrect bind status
    0x05: (Verdict.RETRY, CARRIER_FAILURE),  # already bound
    0x08: (Verdict.RETRY, CARRIER_FAILURE),  # system error
    0x0A: (Verdict.REFUSED, BAD_SENDER),  # invalid source address
    0x0B: (Verdict.REFUSED, NO_ROUTE),  # invalid destination address
    0x0D: (Verdict.RETRY, CARRIER_FAILURE),  # bind failed
    0x0E: (Verdict.RETRY, CARRIER_FAILURE),  # invalid password
    0x0F: (Verdict.RETRY, CARRIER_FAILURE),  # invalid system id
    0x14: (Verdict.THROTTLED, THROTTLED),  # message queue full
    0x15: (Verdict.REFUSED, REJECTED),  # invalid service type
    0x43: (Verdict.REFUSED, REJECTED),  # invalid esm_class
    0x45: (Verdict.REFUSED, REJECTED),  # submit_sm failed
    0x48: (Verdict.REFUSED, BAD_SENDER),  # invalid source TON
    0x49: (Verdict.REFUSED, BAD_SENDER),  # invalid source NPI
    0x50: (Verdict.REFUSED, NO_ROUTE),  # invalid destination TON
    0x51: (Verdict.REFUSED, NO_ROUTE),  # invalid destination NPI
    0x53: (Verdict.REFUSED, REJECTED),  # invalid system_type
    0x58: (Verdict.THROTTLED, THROTTLED),  # throttled
    0x64: (Verdict.RETRY, CARRIER_FAILURE),  # temporary application error
    0x65: (Verdict.REFUSED, REJECTED),  # permanent application error
    0x66: (Verdict.REFUSED, REJECTED),  # rejected by the receiver
    0xFE: (Verdict.REFUSED, UNDELIVERED),  # delivery failure
    0x100: (Verdict.REFUSED, PROHIBITED),  # service not authorised (5.0)
    0x101: (Verdict.REFUSED, PROHIBITED),  # service prohibited (5.0)
    0x102: (Verdict.RETRY, CARRIER_FAILURE),  # service unavailable (5.0)
    0x103: (Verdict.REFUSED, PROHIBITED),  # service denied (5.0)
}
_OTHER = (Verdict.REFUSED, UNKNOWN_ERROR)


def meaning_of(status: int) -> tuple[Verdict, str]:
    """The verdict on a submit that was answered with ``status`` (not 0), and our error code."""
    return _MEANINGS.get(status, _OTHER)
