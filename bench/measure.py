"""Measuring: paired runs, and functions in a process of their own with its peak memory."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from workers.processes import descendants

ROOT = Path(__file__).resolve().parents[1]
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Pairs:
    """Runs of ours and of the rival in turn: (ours, rival), both in the same unit."""

    runs: tuple[tuple[float, float], ...]

    @property
    def ours(self) -> float:
        """Median of our runs."""
        return median(own for own, _ in self.runs)

    @property
    def rival(self) -> float:
        """Median of the rival's runs."""
        return median(other for _, other in self.runs)

    @property
    def rival_over_ours(self) -> float:
        """Median over the pairs of rival / ours: how many times less ours takes."""
        return median(other / own for own, other in self.runs)

    @property
    def ours_over_rival(self) -> float:
        """Median over the pairs of ours / rival: how many times the rival ours takes."""
        return median(own / other for own, other in self.runs)


def paired(
    ours: Callable[[], float],
    rival: Callable[[], float],
    *,
    pairs: int = 5,
    budget_seconds: float = 30.0,
) -> Pairs:
    """Let both run in turn, so that what else the machine does meets both alike.

    Each function runs once and returns what it took. After `budget_seconds` no further pair is
    begun; one is always measured. The order within the pair changes each time.
    """
    deadline = time.monotonic() + budget_seconds
    runs = []
    while len(runs) < pairs and (not runs or time.monotonic() < deadline):
        if len(runs) % 2:
            other = rival()
            own = ours()
        else:
            own = ours()
            other = rival()
        runs.append((own, other))
    return Pairs(tuple(runs))


def cpu_timed(work: Callable[[], object]) -> float:
    """Seconds of processor time that one call takes in this process, all its threads together."""
    began = time.process_time()
    work()
    return time.process_time() - began


@dataclass(frozen=True)
class InChild:
    """What a function returned in a process of its own, and what that process took.

    peak_bytes: the largest resident size of the process, plus those of the processes that it
    started. cpu_seconds: user and system time of all of them.
    """

    result: Any
    peak_bytes: int
    cpu_seconds: float
    wall_seconds: float


def in_child(
    name: str,
    arguments: dict[str, Any],
    *,
    timeout: float = 900.0,
    environment: dict[str, str] | None = None,
) -> InChild:
    """Call `name` ("module:function") with JSON-able `arguments` in a new Python process.

    Raises RuntimeError with the process's last words when it fails.
    """
    command = [sys.executable, "-m", "bench.child", name, json.dumps(arguments)]
    finished = watched(command, timeout=timeout, environment=environment)
    if finished.status != 0:
        raise RuntimeError(f"{name} failed: {finished.stderr[-2000:]}")
    answer = json.loads(finished.stdout.splitlines()[-1])
    others = sum(peak for pid, peak in finished.peaks.items() if pid != finished.pid)
    return InChild(
        result=answer["result"],
        peak_bytes=answer["peak_bytes"] + others,
        cpu_seconds=finished.cpu_seconds,
        wall_seconds=finished.wall_seconds,
    )


@dataclass
class Watched:
    """A program that has ended: its output, its time, and the peak size of each of its processes.

    peaks: process id -> largest resident size in bytes, of the program and all below it.
    """

    pid: int
    status: int = -1
    stdout: str = ""
    stderr: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peaks: dict[int, int] = field(default_factory=dict)


def watched(
    command: list[str], *, timeout: float, environment: dict[str, str] | None = None
) -> Watched:
    """Run a program to its end, looking at its memory and its children's all the while.

    The kernel keeps each process's peak, so that looking now and then misses only what a process
    takes in its last moments. Raises subprocess.TimeoutExpired, after killing the program.
    """
    began, used = time.monotonic(), os.times()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    found = Watched(process.pid)
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            for pid in (process.pid, *descendants(process.pid)):
                found.peaks[pid] = max(found.peaks.get(pid, 0), peak_resident(pid))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        found.stdout, found.stderr = process.communicate(timeout=timeout)
    except BaseException:
        for pid in (*descendants(process.pid), process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        process.communicate()
        raise
    finally:
        ended.set()
        watcher.join()
    now = os.times()
    found.status = process.returncode
    found.wall_seconds = time.monotonic() - began
    found.cpu_seconds = (now.children_user - used.children_user) + (
        now.children_system - used.children_system
    )
    return found


def peak_resident(pid: int | str) -> int:
    """Largest resident size that process `pid` ("self" is this one) has had, in bytes; 0 if gone.

    The kernel's VmHWM. Unlike getrusage's ru_maxrss it does not begin with the size of the
    program that started this one.
    """
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


def proportional_size(pid: int) -> int:
    """Proportional set size of process `pid` in bytes, shared pages by shares; 0 if gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


def free_ports(count: int) -> list[int]:
    """Port numbers that no program on this machine listens at just now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
