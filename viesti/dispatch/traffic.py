"""How fast a desk goes: its counters now and those of a moment ago; used by the reporter.

Pure. What comes out is shown to people (``viesti.db.traffic``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

# Short enough to follow what goes on, and no shorter than most scrape intervals.
WINDOW_S = 15.0


class Meter:
    """Rates over the last 15 seconds, or since the first note where that was later."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, dict[str, int]]] = deque()

    def note(self, now_s: float, counts: Mapping[str, int]) -> dict[str, float]:
        """What ``counts`` grew by a second. A count that fell (a new desk) starts the window anew."""
        if self._notes and any(counts[name] < was for name, was in self._notes[-1][1].items()):
            self._notes.clear()
        self._notes.append((now_s, dict(counts)))
        # The note before the window's beginning is its left edge.
        while len(self._notes) > 2 and self._notes[1][0] <= now_s - WINDOW_S:
            self._notes.popleft()
        then_s, then = self._notes[0]
        if now_s <= then_s:
            return dict.fromkeys(counts, 0.0)
        return {name: (count - then[name]) / (now_s - then_s) for name, count in counts.items()}
