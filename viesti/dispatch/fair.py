"""Deficit round robin over accounts, then lanes: who of many may use a shared carrier next.

Pure. Used by the carrier desk when it fills window and pace, so that one tenant's million
waiting texts delay another tenant's single one by a turn, not by the million.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar
from uuid import UUID

Lane = TypeVar("Lane")


class FairTurns(Generic[Lane]):
    """Takes segments from lanes in turn: each account gets ``quantum`` segments a round."""

    def __init__(self, account_of: Callable[[Lane], UUID], quantum: int = 4) -> None:
        self._account_of = account_of
        self._quantum = quantum
        # Accounts keep their place over calls; an account's credit dies with its backlog.
        self._order: OrderedDict[UUID, int] = OrderedDict()

    def pick(self, lanes: Iterable[Lane], budget: int, take: Callable[[Lane, int], int]) -> int:
        """Spend up to ``budget`` segments.

        ``take(lane, most)`` starts up to ``most`` segments of one text and returns how many; 0
        means that the lane has nothing (more) to start now. Returns the segments spent.
        """
        by_account: dict[UUID, deque[Lane]] = {}
        for lane in lanes:
            by_account.setdefault(self._account_of(lane), deque()).append(lane)
        for gone in [account for account in self._order if account not in by_account]:
            del self._order[gone]
        for account in by_account:
            self._order.setdefault(account, 0)
        spent = 0
        while spent < budget and by_account:
            account = next(iter(self._order))
            queue = by_account.get(account)
            if queue is None:
                self._order.move_to_end(account)
                continue
            credit = self._order[account] or self._quantum
            while queue and credit and spent < budget:
                lane = queue[0]
                used = take(lane, min(credit, budget - spent))
                if used:
                    credit -= used
                    spent += used
                    queue.rotate(-1)
                else:
                    queue.popleft()
            if not queue:
                del by_account[account]
                credit = 0
            self._order[account] = credit
            # Whom the budget cut short goes on where it was, with what it has left.
            if not credit:
                self._order.move_to_end(account)
        return spent
