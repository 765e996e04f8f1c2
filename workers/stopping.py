"""How a pool process is told to stop: SIGUSR2, which interrupts a job and nothing else.

A worker that is being stopped gives its job back to the queue, so that the next worker begins
at once instead of waiting for a lease to run out.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Interrupted(BaseException):
    """Raised inside a job that must end now. Not an Exception: no handler may swallow it."""


@dataclass
class _State:
    stop_requested: bool = False
    only_this_job: bool = False
    in_job: bool = False


_state = _State()


def listen() -> None:
    """Install the signal's handler; for the main thread of a pool process, after its fork."""
    _state.stop_requested = _state.only_this_job = _state.in_job = False
    signal.signal(signal.SIGUSR2, _on_signal)


def requested() -> bool:
    """Whether this process was told to stop."""
    return _state.stop_requested


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the signal interrupt the body by raising Interrupted in it."""
    _state.only_this_job = False
    _state.in_job = True
    try:
        if _state.stop_requested:
            raise Interrupted
        yield
    finally:
        _state.in_job = False


def interrupt_job() -> None:
    """Interrupt the job that runs in this process, from another thread; the process goes on."""
    _state.only_this_job = True
    os.kill(os.getpid(), signal.SIGUSR2)


def _on_signal(_number: int, _frame: object) -> None:
    if _state.only_this_job:
        _state.only_this_job = False
    else:
        _state.stop_requested = True
    if _state.in_job:
        _state.in_job = False  # a second signal must not interrupt the tidying up
        raise Interrupted
