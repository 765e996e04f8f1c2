"""Tie a fresh process's hands: limits, no network, no files but those named, death with its parent.

Two kinds of process use it, and a worker never does: what it does cannot be undone and must not
happen where there are threads.

- `python -I -S guard.py LIMITS PROGRAM …` ties its hands and then becomes the program (ffmpeg);
  it exits with 125 where a limit cannot be set, 127 where the program is missing;
- a process of ours (`inspection`) calls `tie` before it opens the recording.

LIMITS is a JSON object: `parent` (pid), `cpu_seconds`, `cpu_grace`, `file_bytes`, `memory_bytes`,
`no_network` (bool) and `files`: null, or `{"read": [paths], "write": [paths]}`, all else being out
of reach. At `cpu_seconds` a process gets SIGXCPU, `cpu_grace` seconds later SIGKILL.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000

# Landlock (Linux 5.13 and later): linux/landlock.h. The numbers are the same on every machine.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = (1 << bit for bit in (0, 1, 2, 3, 14))
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
#: How many kinds of access to files each version of the interface knows of.
_RIGHTS_KNOWN = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_ALL_OF_TCP = 0b11
_FIRST_WITH_TCP = 4


def tie(limits: Mapping[str, Any]) -> None:
    """Set every limit in `limits` on this process. Raises OSError where one cannot be set."""
    libc = ctypes.CDLL(None, use_errno=True)
    _die_with_parent(libc, int(limits["parent"]))
    if limits["no_network"]:
        _leave_network(libc)
    seconds = int(limits["cpu_seconds"])
    _lower(resource.RLIMIT_CPU, seconds, hard=seconds + int(limits["cpu_grace"]))
    _lower(resource.RLIMIT_FSIZE, int(limits["file_bytes"]))
    _lower(resource.RLIMIT_AS, int(limits["memory_bytes"]))
    _lower(resource.RLIMIT_CORE, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if limits["files"] is not None:
        _leave_files(libc, read=limits["files"]["read"], write=limits["files"]["write"])


def _die_with_parent(libc: ctypes.CDLL, parent: int) -> None:
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request was in force
        os.kill(os.getpid(), signal.SIGKILL)


def _leave_network(libc: ctypes.CDLL) -> None:
    """Enter a network namespace without any interface. Raises OSError where the host forbids it."""
    uid, gid = os.getuid(), os.getgid()
    _check(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
            stream.write(text)


def _leave_files(libc: ctypes.CDLL, *, read: Sequence[str], write: Sequence[str]) -> None:
    """Keep only the named files and folders in reach. Raises OSError where Landlock is absent.

    What is opened already (the pipes) stays open.
    """
    version = _check(libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION))
    known = (1 << _RIGHTS_KNOWN.get(version, max(_RIGHTS_KNOWN.values()))) - 1
    handled = struct.pack("=QQ", known, _ALL_OF_TCP if version >= _FIRST_WITH_TCP else 0)
    rules = _check(libc.syscall(_CREATE_RULESET, handled, len(handled) if version > 3 else 8, 0))
    try:
        for path in read:
            _allow(libc, rules, path, (_EXECUTE | _READ_FILE | _READ_DIR) & known)
        for path in write:
            _allow(libc, rules, path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & known)
        _check(libc.syscall(_RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    """Allow `rights` on a file, or on everything in a folder. One that is absent is passed over."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _FILE_RIGHTS
        rule = struct.pack("=Qi", rights, place)
        _check(libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0))
    finally:
        os.close(place)


def _check(returned: int) -> int:
    if returned < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return returned


def _lower(limit: int, value: int, *, hard: int | None = None) -> None:
    """Set a limit, but never above the one already in force; `hard` is `value` by default."""
    _, most = resource.getrlimit(limit)
    wanted = (value, value if hard is None else hard)
    soft, end = wanted if most == resource.RLIM_INFINITY else (min(one, most) for one in wanted)
    resource.setrlimit(limit, (soft, end))


def main(arguments: list[str]) -> None:
    """Set the limits of `arguments[0]`, then become the program `arguments[1:]`."""
    try:
        tie(json.loads(arguments[0]))
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
