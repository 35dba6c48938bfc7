"""What may happen to a running platform, and what the SMSC's log says of how it was borne."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import psutil
import psycopg

from tests.flows.conftest import Platform
from tests.flows.rig import until
from tests.invariants.books import find_wrongs
from viesti.db.embedded import Layout

WINDOW = 100
IN_FLIGHT = "SELECT count(*) FROM dispatch_queue WHERE started <> answered"


@dataclass
class Fire:
    """Blows against ``platform``; ``in_flight`` counts what was under way at each of them."""

    platform: Platform
    in_flight: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def dsn(self) -> str:
        return Layout(self.platform.settings.data_dir.absolute()).dsn()

    def kill(self, role: str) -> None:
        pid = until(lambda: self._role(role), f"a running {role}", 30)
        before = self._count()
        os.kill(pid, signal.SIGKILL)
        # What the dead one had begun to commit appears a moment later.
        time.sleep(0.03)
        self._note(f"kill of {role}", max(before, self._count()))

    def restart_database(self) -> None:
        self._note("restart of the database", self._count())
        for child in psutil.Process(self.platform.process.pid).children():
            if child.name() == "postgres":
                child.send_signal(signal.SIGINT)  # a fast shutdown

    def cut_before_answer(self) -> None:
        """The SMSC takes three more submits without answering, then hangs up."""
        self._note("cut before the answer", WINDOW)
        self._plan({"when": "before_answer", "after": 3, "taken": True})

    def cut_before_acknowledgement(self) -> None:
        """The SMSC hands over receipts and hangs up before it reads that they were taken."""
        self._note("cut before the acknowledgement", WINDOW)
        self._plan({"when": "before_ack", "after": 5})

    def _plan(self, body: dict[str, Any]) -> None:
        answer = self.platform.handsets.http.post(f"{self.platform.handsets.base}/drop", json=body)
        assert answer.is_success, answer.text

    def _role(self, name: str) -> int | None:
        for child in psutil.Process(self.platform.process.pid).children():
            line = child.cmdline()
            if line and line[-1] == name:
                return child.pid
        return None

    def _count(self) -> int:
        try:
            with psycopg.connect(self.dsn, autocommit=True) as conn:
                row = conn.execute(IN_FLIGHT).fetchone()
        except psycopg.OperationalError:
            return WINDOW  # the database is away: what a window holds, at most
        return int(row[0]) if row else 0

    def _note(self, blow: str, count: int) -> None:
        self.in_flight[f"{len(self.in_flight) + 1}. {blow}"] = count


def patiently(work: Callable[[], httpx.Response]) -> dict[str, Any]:
    """As a careful client does: the same request with the same key until it is answered."""
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = work()
            if answer.status_code == 200:
                return answer.json()["data"]
            assert answer.status_code in (409, 429, 500, 502, 503), answer.text
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "the API did not come back"
        time.sleep(0.2)


class Auditor:
    """Looks at the books twice a second, while everything goes on."""

    def __init__(self, dsn: str, known: Callable[[], int]) -> None:
        """``known`` says how many texts clients were told to be accepted."""
        self.looks = 0
        self.wrongs: list[str] = []
        self._dsn = dsn
        self._known = known
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.5):
            known = self._known()
            try:
                with psycopg.connect(self._dsn, autocommit=True) as conn:
                    row = conn.execute("SELECT count(*) FROM messages WHERE outgoing").fetchone()
                    self.wrongs += find_wrongs(conn)
            except psycopg.OperationalError:
                continue  # the database is being restarted
            if row is None or row[0] < known:
                self.wrongs.append(f"{known} were accepted, {row} are there")
            self.looks += 1


@dataclass
class Submitted:
    """One text at the SMSC, by its id there: log numbers of its PDUs."""

    handset: str
    answered: int | None = None
    receipts: list[int] = field(default_factory=list[int])
    state: str = ""

    @property
    def overtook(self) -> bool:
        """Whether its receipt came before its answer, or instead of it."""
        return bool(self.receipts) and (self.answered is None or self.receipts[0] < self.answered)


class NetworkLog:
    """All PDUs of the run, read before the SMSC's ring forgets them."""

    def __init__(self, platform: Platform) -> None:
        self._handsets = platform.handsets
        self._after = 0
        self._open: dict[tuple[str, int], str] = {}
        self.arrived: dict[str, float] = {}  # handset -> when its first submit_sm reached the SMSC
        self.taken: dict[str, Submitted] = {}  # by the SMSC's id

    def read(self) -> None:
        while True:
            page = self._handsets.http.get(
                f"{self._handsets.base}/log", params={"after": self._after, "limit": 1000}
            ).json()
            for entry in page["entries"]:
                self._note(entry)
            self._after = page["after"]
            if len(page["entries"]) < 1000:
                return

    def _note(self, entry: dict[str, Any]) -> None:
        command, number = entry["command"], entry["number"]
        key = (entry["bind"], entry["sequence"])
        if command == "submit_sm":
            handset = entry["destination"]
            self.arrived.setdefault(handset, datetime.fromisoformat(entry["at"]).timestamp())
            self._open[key] = handset
        elif command == "submit_sm_resp":
            handset = self._open.pop(key)
            if entry["status"] == 0:
                self._text(entry["message_id"], handset).answered = number
        elif command == "deliver_sm" and entry["esm_class"] == 0x04:
            words = entry["text"].split()
            message_id = words[0].removeprefix("id:")
            text = self._text(message_id, entry["source"])
            text.receipts.append(number)
            text.state = next(w for w in words if w.startswith("stat:")).removeprefix("stat:")

    def _text(self, message_id: str, handset: str) -> Submitted:
        return self.taken.setdefault(message_id, Submitted(handset))
