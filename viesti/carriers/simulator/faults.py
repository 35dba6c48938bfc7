"""Misfortunes of the whole simulated SMSC: rate limits, cut connections, silence, outages.

Set through the control API or by tests in the same process; asked by ``network`` and
``connection`` at the moments in question.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from viesti.kit.errors import Invalid

Moment = Literal["before_answer", "after_answer", "before_ack"]
Scope = Literal["bind", "system", "sender"]
_SCOPES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class DropPlan:
    """Cut the connection at the ``after``-th submit (or deliver_sm) from now.

    before_answer: it was read, but not answered. ``taken`` says whether the network took it on,
    so that a receipt follows. after_answer: its answer left, then the cut. before_ack: the
    deliver_sm left, and its acknowledgement is never read.
    """

    when: Moment
    after: int = 1
    taken: bool = True


class RateWindow:
    """At most ``rate_per_s`` in any one second, over all moments, not by clock seconds."""

    def __init__(self, rate_per_s: float) -> None:
        self._count = max(1, int(rate_per_s))
        self._period_s = self._count / rate_per_s
        self._passed: deque[float] = deque()

    def allow(self, now_s: float) -> bool:
        passed = self._passed
        if len(passed) >= self._count:
            if now_s - passed[0] < self._period_s:
                return False
            passed.popleft()
        passed.append(now_s)
        return True


class Faults:
    def __init__(self) -> None:
        self.limits_rate = False
        self.is_silent = False  # nothing is answered, not even enquire_link
        self.is_out = False  # new connections are cut at once
        self._rate_per_s = 0.0
        self._scope: Scope = "bind"
        self._throttle_status = 0x58
        self._windows: dict[object, RateWindow] = {}
        self._plan: DropPlan | None = None
        self._left = 0

    def reset(self) -> None:
        self.set_rate(0.0)
        self._plan = None
        self.is_silent = self.is_out = False

    # Rates

    def set_rate(self, rate_per_s: float, scope: Scope = "bind", status: int = 0x58) -> None:
        """Answer ``status`` to what exceeds ``rate_per_s`` submits (0: unlimited)."""
        if rate_per_s < 0:
            raise Invalid("a rate is 0 (unlimited) or more submits a second")
        self.limits_rate = rate_per_s > 0
        self._rate_per_s = rate_per_s
        self._scope = scope
        self._throttle_status = status
        self._windows.clear()

    def describe_rate(self) -> dict[str, object]:
        return {
            "rate_per_s": self._rate_per_s,
            "scope": self._scope,
            "status": self._throttle_status,
        }

    def throttle(self, system_id: str, bind: str, sender: bytes, now_s: float) -> int:
        """The status to answer a submit with, 0 if it is within the rate."""
        key = {"bind": bind, "system": system_id}.get(self._scope, sender)
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= _SCOPES_KEPT:
                self._windows.clear()
            window = self._windows[key] = RateWindow(self._rate_per_s)
        return 0 if window.allow(now_s) else self._throttle_status

    # Cuts

    def plan(self, plan: DropPlan) -> None:
        if plan.after < 1:
            raise Invalid("a drop comes after 1 or more messages")
        self._plan = plan
        self._left = plan.after

    @property
    def has_plan(self) -> bool:
        return self._plan is not None

    def on_submit(self) -> Literal["drop_before", "drop_after", "drop_untaken"] | None:
        plan = self._plan
        if plan is None or plan.when == "before_ack" or not self._due(1):
            return None
        if plan.when == "after_answer":
            return "drop_after"
        return "drop_before" if plan.taken else "drop_untaken"

    def on_deliver(self, count: int) -> bool:
        """Whether the connection is to be cut now that ``count`` deliver_sms have left."""
        plan = self._plan
        return plan is not None and plan.when == "before_ack" and self._due(count)

    def _due(self, count: int) -> bool:
        self._left -= count
        if self._left > 0:
            return False
        self._plan = None
        return True
