"""What a freshly forked child does before it becomes another program.

`subprocess` runs these functions between fork and exec, where only a few system calls are
safe. Everything they need is therefore looked up when this module is imported.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000

# The identity that a process without privileges is given, inside a user namespace and outside.
UNPRIVILEGED_UID_INSIDE = 1000
NOBODY_UID = 65534


def die_with_parent(signal_number: int = signal.SIGTERM) -> None:
    """Ask the kernel to send this process `signal_number` when its parent ends.

    The kernel watches the *thread* that forked, so children must be started from a thread
    that lives as long as they should.
    """
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def enter_user_namespace() -> None:
    """Move this process into a user namespace in which root appears as an ordinary user.

    Its files stay owned by the user outside. Raises OSError where the kernel or the
    container refuses user namespaces.
    """
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    if _LIBC.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER) failed")
    # The kernel wants group changes given up before an unprivileged group map is written.
    _write("/proc/self/setgroups", b"deny")
    _write("/proc/self/uid_map", f"{UNPRIVILEGED_UID_INSIDE} {outside_uid} 1".encode())
    _write("/proc/self/gid_map", f"{UNPRIVILEGED_UID_INSIDE} {outside_gid} 1".encode())


def become_nobody() -> None:
    """Give up root for good. Raises OSError when this process may not do so."""
    os.setgroups([])
    os.setgid(NOBODY_UID)
    os.setuid(NOBODY_UID)


def before_exec(
    *, identity: Callable[[], None] | None = None, on_parent_death: int | None = None
) -> Callable[[], None]:
    """Return a `preexec_fn` that takes on `identity` and then ties its life to the parent's.

    The order matters: a change of credentials clears the parent-death signal.
    """

    def prepare() -> None:
        if identity is not None:
            identity()
        if on_parent_death is not None:
            die_with_parent(on_parent_death)

    return prepare


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
