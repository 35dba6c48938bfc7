"""``viesti jobs``: how far a sending call has come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import psycopg
import typer
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from viesti.bootstrap import Installation
from viesti.commands.perform import (
    Json,
    Result,
    out,
    perform_on_installation,
    read_id,
    say,
    show_fields,
)
from viesti.db.signals import notify
from viesti.domain.messages.control import (
    Swept,
    cancel_job,
    pause_job,
    resume_job,
    sweep_locked,
)
from viesti.domain.messages.expansion import EXPANSION_CHANNEL
from viesti.domain.messages.jobs import (
    JOB_NOT_FOUND,
    Job,
    find_account_of,
    get_job,
    job_view,
)
from viesti.domain.messages.states import ENDS, Status
from viesti.kit.clock import utc_now
from viesti.kit.errors import NotFound

jobs_app = typer.Typer(no_args_is_help=True, help="Sending calls: how far they have come.")

JobId = Annotated[str, typer.Argument(metavar="ID", help="The `jobId` that the API answered.")]
AccountOption = Annotated[str, typer.Option("--account", help="Whose job it is; may be left out.")]

LOOK_S = 0.5
# A look counts the job's texts: of a large job it takes longer, and is taken less often, so
# that a watch never keeps the database busy for more than a tenth of the time.
LOOKS_SHARE = 0.1
# The rate is that of the last so many seconds.
RATE_OVER_S = 10.0
# What is left when nothing waits (receipts, unknown outcomes) may take hours, or never come.
QUIET_S = 15.0


@jobs_app.command("show")
def show(job: JobId, account: AccountOption = "", as_json: Json = False) -> None:
    """Show how many texts of a job are in which state."""

    def work(installation: Installation) -> Result:
        job_id = read_id(job, "a job")
        with installation.connect() as conn:
            return _view(get_job(conn, _account(conn, account, job_id), str(job_id)))

    perform_on_installation(as_json, work, show_fields)


@jobs_app.command("watch")
def watch(job: JobId, account: AccountOption = "", as_json: Json = False) -> None:
    """Follow a job until its texts have left and their receipts are in.

    Where receipts or unknown outcomes are missing, it ends when nothing has changed for a while.
    """

    def work(installation: Installation) -> Result:
        job_id = read_id(job, "a job")
        with installation.connect() as conn:
            account_id = _account(conn, account, job_id)
            follow = Follower(conn, account_id, job_id)
            if as_json:
                return _view(_follow_quietly(follow))
            return _view(_follow_on_terminal(follow))

    def finish(result: Result) -> None:
        open_ = result["sent"] + result["held"]
        if open_:
            say(f"{open_:,} texts are without a receipt or an answer: they may still change.")

    perform_on_installation(as_json, work, finish)


@jobs_app.command("pause")
def pause(job: JobId, account: AccountOption = "", as_json: Json = False) -> None:
    """Start nothing more of a job until it is resumed."""
    _turn(pause_job, job, account, as_json)


@jobs_app.command("resume")
def resume(job: JobId, account: AccountOption = "", as_json: Json = False) -> None:
    """Go on with a paused job."""
    _turn(resume_job, job, account, as_json)


@jobs_app.command("cancel")
def cancel(job: JobId, account: AccountOption = "", as_json: Json = False) -> None:
    """Cancel all texts of a job that have not begun to leave."""
    _turn(cancel_job, job, account, as_json)


def _turn(
    act: Callable[[psycopg.Connection, UUID, UUID, datetime], Swept],
    job: str,
    account: str,
    as_json: bool,
) -> None:
    def work(installation: Installation) -> Result:
        job_id = read_id(job, "a job")
        with installation.connect() as conn:
            account_id = _account(conn, account, job_id)
            more = act(conn, account_id, job_id, utc_now()).more
            conn.commit()
            # What a ``work`` role would do, if one runs.
            while more:
                more = sweep_locked(conn, account_id, job_id, utc_now()).more
                conn.commit()
            notify(conn, EXPANSION_CHANNEL)
            return _view(get_job(conn, account_id, str(job_id)))

    perform_on_installation(as_json, work, show_fields)


def _account(conn: psycopg.Connection, text: str, job_id: UUID) -> UUID:
    found = read_id(text, "an account") if text else find_account_of(conn, job_id)
    if found is None:
        raise NotFound("There is no such job.", JOB_NOT_FOUND)
    return found


def _view(job: Job) -> dict[str, Any]:
    """As the API shows it, with the held texts apart."""
    view = job_view(job)
    held = job.by_status.get(Status.HELD.value, 0)
    return {**view, "held": held}


@dataclass(frozen=True, slots=True)
class Look:
    """A job at a moment. ``left_per_s``: texts that left (or ended) a second, of late."""

    job: Job
    left_per_s: float
    delivered_per_s: float

    def count(self, *statuses: Status) -> int:
        return sum(self.job.by_status.get(status.value, 0) for status in statuses)

    @property
    def total(self) -> int:
        return sum(self.job.by_status.values())

    @property
    def waiting(self) -> int:
        """Texts that are still to leave."""
        return self.count(Status.QUEUED, Status.SCHEDULED, Status.SUSPENDED)

    @property
    def grows(self) -> bool:
        """Whether recipients are still to be read, now or at the job's time."""
        return not self.job.expanded and self.job.state != "canceled"

    @property
    def ended(self) -> int:
        return self.count(*ENDS)


class Follower:
    """Looks at a job now and then, and knows when there is nothing more to wait for."""

    def __init__(self, conn: psycopg.Connection, account_id: UUID, job_id: UUID) -> None:
        self._conn = conn
        self._account_id = account_id
        self._job_id = job_id
        self._seen: deque[tuple[float, int, int]] = deque()
        self._last: dict[str, int] = {}
        self._changed_at_s = time.monotonic()
        self.pause_s = LOOK_S

    def look(self) -> Look:
        """Raises NotFound (JOB-001)."""
        started_s = time.monotonic()
        with self._conn.transaction():
            job = get_job(self._conn, self._account_id, str(self._job_id))
        now_s = time.monotonic()
        self.pause_s = max(LOOK_S, (now_s - started_s) / LOOKS_SHARE)
        if dict(job.by_status) != self._last:
            self._last, self._changed_at_s = dict(job.by_status), now_s
        plain = Look(job, 0.0, 0.0)
        left, delivered = plain.total - plain.waiting, plain.count(Status.DELIVERED)
        self._seen.append((now_s, left, delivered))
        while len(self._seen) > 2 and now_s - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()
        then_s, left_then, delivered_then = self._seen[0]
        span_s = now_s - then_s
        if span_s <= 0:
            return plain
        return Look(job, (left - left_then) / span_s, (delivered - delivered_then) / span_s)

    def is_over(self, look: Look) -> bool:
        if look.waiting or look.grows:
            return False
        is_quiet = time.monotonic() - self._changed_at_s >= QUIET_S
        return look.ended == look.total or is_quiet


def _follow_quietly(follow: Follower) -> Job:
    while not follow.is_over(look := follow.look()):
        time.sleep(follow.pause_s)
    return look.job


def _follow_on_terminal(follow: Follower) -> Job:
    """A bar of what has left and one of what was delivered; plain lines without a terminal."""
    if not out.is_terminal:
        return _follow_in_lines(follow)
    progress = Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=40),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        console=out,
    )
    left = progress.add_task("left", total=None, figures="")
    delivered = progress.add_task("delivered", total=None, figures="")
    with Live(console=out, auto_refresh=False) as live:
        while True:
            look = follow.look()
            total = None if look.grows else look.total or None
            gone = look.total - look.waiting
            progress.update(
                left, total=total, completed=gone, figures=_figures(gone, look, look.left_per_s)
            )
            done = look.count(Status.DELIVERED)
            progress.update(
                delivered,
                total=total,
                completed=done,
                figures=_figures(done, look, look.delivered_per_s),
            )
            table = Table.grid()
            table.add_row(progress)
            table.add_row(Text(_states(look)))
            live.update(table, refresh=True)
            if follow.is_over(look):
                return look.job
            time.sleep(follow.pause_s)


def _figures(done: int, look: Look, per_s: float) -> str:
    words = f"{done:,} of {look.total:,}"
    if look.grows:
        return words + " so far"
    missing = look.total - done
    if missing and per_s >= 1:
        words += f"   {per_s:,.0f}/s   {_duration(missing / per_s)} to go"
    return words


def _states(look: Look) -> str:
    counts = {
        "waiting": look.count(Status.QUEUED),
        "for later": look.count(Status.SCHEDULED),
        "without credit": look.count(Status.SUSPENDED),
        "held": look.count(Status.HELD),
        "sent": look.count(Status.SENT),
        "delivered": look.count(Status.DELIVERED),
        "failed": look.count(Status.ERROR, Status.INVALID, Status.CANCELED),
    }
    always = ("waiting", "sent", "delivered", "failed")
    words = [f"{name} {many:,}" for name, many in counts.items() if many or name in always]
    if look.job.status in ("scheduled", "paused", "canceled"):
        words.append(look.job.status)
    elif look.grows:
        words.append("more to come")
    return "   ".join(words)


def _follow_in_lines(follow: Follower) -> Job:
    shown = ""
    while True:
        look = follow.look()
        line = _states(look)
        if line != shown:
            out.print(line, highlight=False, markup=False, soft_wrap=True)
            shown = line
        if follow.is_over(look):
            return look.job
        time.sleep(follow.pause_s)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02} h"
