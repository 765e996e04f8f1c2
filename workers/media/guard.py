"""Start one program with its hands tied, then become it: `python -I -S guard.py LIMITS PROGRAM …`.

Run as a script in a fresh process of its own (never imported by a worker), because what it does
(limits, a namespace of its own, dying with its parent) must not happen inside a worker that has
threads. LIMITS is a JSON object: `parent` (pid), `cpu_seconds`, `file_bytes`, `memory_bytes`,
`no_network` (bool). Exits with 125 where a limit cannot be set, 127 where the program is missing.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000


def _die_with_parent(libc: ctypes.CDLL, parent: int) -> None:
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request was in force
        os.kill(os.getpid(), signal.SIGKILL)


def _leave_network(libc: ctypes.CDLL) -> None:
    """Enter a network namespace without any interface. Raises OSError where the host forbids it."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
            stream.write(text)


def _lower(limit: int, value: int) -> None:
    """Set a limit, but never above the one already in force."""
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def main(arguments: list[str]) -> None:
    """Set the limits of `arguments[0]`, then become the program `arguments[1:]`."""
    limits = json.loads(arguments[0])
    libc = ctypes.CDLL(None, use_errno=True)
    _die_with_parent(libc, int(limits["parent"]))
    try:
        if limits["no_network"]:
            _leave_network(libc)
        _lower(resource.RLIMIT_CPU, int(limits["cpu_seconds"]))
        _lower(resource.RLIMIT_FSIZE, int(limits["file_bytes"]))
        _lower(resource.RLIMIT_AS, int(limits["memory_bytes"]))
        _lower(resource.RLIMIT_CORE, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    except OSError as error:
        sys.stderr.write(f"guard: {error}\n")
        raise SystemExit(125) from error
    try:
        os.execv(arguments[1], arguments[1:])  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"guard: {arguments[1]}: {error}\n")
        raise SystemExit(127) from error


if __name__ == "__main__":
    main(sys.argv[1:])
