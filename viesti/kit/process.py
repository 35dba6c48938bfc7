"""What a process tells the operating system about itself; called by each role at its start."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Mapping

SUPERVISOR_VARIABLE = "SUPERVISED_BY"  # holds the supervisor's process id; no setting
# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
NAME_LIMIT = 15  # TASK_COMM_LEN without its NUL


def follow_supervisor(environment: Mapping[str, str] = os.environ) -> None:
    """End with the process that started this role, even if that one is killed."""
    supervisor = environment.get(SUPERVISOR_VARIABLE)
    if supervisor is None:
        return
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(supervisor):  # it died before the line above took effect
        raise SystemExit(1)


def name_process(name: str) -> None:
    """Show ``name`` in ``ps -e`` and ``top``, where otherwise it says python."""
    _prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()[:NAME_LIMIT]))


# Transactions take many small steps in worker threads; at Python's 5 ms each of them would wait
# that long for the event loop to let go of the interpreter.
SWITCH_INTERVAL_S = 0.0005
# Young objects that make the cycle collector look: hundreds by default.
GARBAGE_THRESHOLDS = (100_000, 20, 50)


def tune_interpreter() -> None:
    """Suit the interpreter to batches that run in threads beside an event loop.

    A batch makes hundreds of thousands of objects that all die by their reference counts;
    looking through them again and again took a third of a bulk send's processor time. What is
    loaded by now stays for the life of the process and is not looked at again.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def _prctl(option: int, value: object) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
