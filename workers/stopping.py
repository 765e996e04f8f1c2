"""How a worker is told to stop: one byte that its pool processes share.

A job that runs when the worker is being stopped is interrupted and goes back to its queue, so
that the next worker begins at once instead of waiting for a lease to run out. A signal to the
pool processes would not do: it breaks one that is waiting for work.
"""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

# Shared with every process that is forked after this module was imported.
_stop_requested = mmap.mmap(-1, 1)
_in_job = False


class Interrupted(BaseException):
    """Raised inside a job that must end now. Not an Exception: no handler may swallow it."""


def request() -> None:
    """Ask this process, and those forked from it, to take up no more work."""
    _stop_requested[0] = 1


def requested() -> bool:
    """Whether this process was asked to stop."""
    return _stop_requested[0] == 1


def listen() -> None:
    """Let `interrupt_job` work; for the main thread of a pool process, after its fork."""
    signal.signal(signal.SIGUSR2, _on_signal)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let `interrupt_job` end the body by raising Interrupted in it."""
    global _in_job
    _in_job = True
    try:
        yield
    finally:
        _in_job = False


def interrupt_job() -> None:
    """Interrupt the job that runs in this process's main thread, from another thread."""
    os.kill(os.getpid(), signal.SIGUSR2)


def _on_signal(_number: int, _frame: object) -> None:
    global _in_job
    if _in_job:
        _in_job = False  # a second signal must not interrupt the tidying up
        raise Interrupted
