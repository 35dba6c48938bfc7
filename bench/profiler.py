"""Where a running dispatcher's processor time goes, and which statements the server works on.

Used by ``flow.py --profile``. Nothing of Viesti is changed for it: the roles are started with a
``sitecustomize`` that samples their own threads and writes folded stacks when they end.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType, TracebackType

import psycopg

FOLDER_VARIABLE = "BENCH_SAMPLES"
ROLE_VARIABLE = "BENCH_SAMPLED_ROLE"
GO = "go"  # the file that says when to begin
PAUSE_S = 0.002
DEEPEST = 60
FOLDED = "folded"  # the files' suffix: stacks of one process, as flame graph programs read them


# In the sampled process


def sample_this_process() -> None:
    """Called by ``sitecustomize``: starts a sampling thread if this is the role to be sampled."""
    folder, role = os.environ.get(FOLDER_VARIABLE), os.environ.get(ROLE_VARIABLE)
    if folder and role in sys.argv:
        Sampler(Path(folder)).start()


class Sampler:
    """Adds the processor time that each thread used since the last look to its stack of now."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{os.getpid()}.{FOLDED}"
        self._go = folder / GO
        self._spent_us: Counter[str] = Counter()
        self._last_s: dict[int, float] = {}

    def start(self) -> None:
        threading.Thread(target=self._run, name="sampler", daemon=True).start()
        atexit.register(self._write)

    def _run(self) -> None:
        me = threading.get_ident()
        # What a start costs says nothing of a text.
        while not self._go.exists():
            time.sleep(0.05)
        while True:
            time.sleep(PAUSE_S)
            names = {t.ident: t.name for t in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                if ident == me:
                    continue
                try:
                    now_s = time.clock_gettime(time.pthread_getcpuclockid(ident))
                except (OSError, ProcessLookupError):
                    continue
                spent_s = now_s - self._last_s.get(ident, now_s)
                self._last_s[ident] = now_s
                if spent_s > 0:
                    thread = re.sub(r"[_-]?\d+$", "", names.get(ident, "?"))
                    self._spent_us[";".join([thread, *_stack(frame)])] += int(spent_s * 1e6)

    def _write(self) -> None:
        lines = (f"{stack} {us}\n" for stack, us in list(self._spent_us.items()))
        self._path.write_text("".join(lines))


def _stack(frame: FrameType | None) -> list[str]:
    names: list[str] = []
    while frame is not None and len(names) < DEEPEST:
        code = frame.f_code
        file = Path(code.co_filename)
        place = f"{file.parent.name}/{file.stem}" if file.suffix == ".py" else file.name
        names.append(f"{place}:{code.co_qualname.replace('.<locals>', '')}")
        frame = frame.f_back
    return names[::-1]


# In the bench


def sampled_environment(folder: Path, role: str = "dispatch") -> dict[str, str]:
    """What to add to the environment of ``viesti serve`` so that ``role`` samples itself."""
    hook = folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\n"
        "import profiler\nprofiler.sample_this_process()\n"
    )
    paths = [str(hook), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        FOLDER_VARIABLE: str(folder),
        ROLE_VARIABLE: role,
    }


def report(folder: Path, texts: int, keep: Path | None = None, most: int = 30) -> None:
    """Print what the busiest sampled process spent, by thread and by function, for one text."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    files = sorted(folder.glob(f"*.{FOLDED}"))
    for file in files:
        for line in file.read_text().splitlines():
            stack, _, us = line.rpartition(" ")
            thread, *names = stack.split(";")
            threads[thread] += int(us)
            own[names[-1] if names else thread] += int(us)
            for name in set(names):
                whole[name] += int(us)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for file in files:
            (keep / file.name).write_text(file.read_text())
    print(f"dispatchers, by thread, us of processor time a text ({texts:,} texts):")
    for thread, us in threads.most_common(6):
        print(f"  {us / texts:7.2f}  {thread}")
    print("by function: own, with what it calls")
    for name, us in own.most_common(most):
        print(f"  {us / texts:7.2f} {whole[name] / texts:7.2f}  {name}")
    print("by function with what it calls, viesti's own")
    shown = [(n, us) for n, us in whole.most_common(400) if us / texts >= 0.3]
    rooms = ("dispatch/", "inbound/", "messages/", "smpp/", "events/", "senders/", "db/", "sms/")
    for name, us in [entry for entry in shown if entry[0].startswith(rooms)][:most]:
        print(f"  {us / texts:7.2f}  {name}")


class Statements(threading.Thread):
    """Looks a hundred times a second at what each connection of the server is doing."""

    def __init__(self, dsn: str) -> None:
        super().__init__(name="statements", daemon=True)
        self._dsn = dsn
        self._over = threading.Event()
        self._looks = 0
        self._seen: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def __enter__(self) -> Statements:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self.join(5)

    def run(self) -> None:
        with (
            psycopg.connect(self._dsn, autocommit=True) as conn,
            contextlib.suppress(psycopg.Error),
        ):
            while not self._over.wait(0.01):
                self._looks += 1
                rows = conn.execute(
                    "SELECT application_name, backend_type, state, wait_event_type, wait_event,"
                    " left(query, 4000) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND (state IN ('active',"
                    " 'idle in transaction') OR backend_type LIKE 'autovacuum worker%')"
                ).fetchall()
                for name, kind, state, wait_type, wait, query in rows:
                    if wait_type == "Activity":
                        continue
                    who = name or kind
                    if state == "idle in transaction":
                        what, doing = "(between statements)", "client"
                    else:
                        what = _short(query)
                        doing = f"{wait_type}:{wait}" if wait_type else "running"
                    self._seen[f"{who}: {what}"][doing] += 1

    def print(self, texts: int, took_s: float) -> None:
        """Print the statements by the time that the server was busy with them, for one text."""
        print("statements, us a text by the clock:")
        ordered = sorted(self._seen.items(), key=lambda item: -item[1].total())
        for what, doing in ordered[:24]:
            us = doing.total() / max(1, self._looks) * took_s / texts * 1e6
            shares = ", ".join(
                f"{name} {count / doing.total():.0%}" for name, count in doing.most_common(3)
            )
            print(f"  {us:7.2f}  {what}  [{shares}]")


def _short(query: str) -> str:
    words = " ".join(query.split())
    return words[:76]
