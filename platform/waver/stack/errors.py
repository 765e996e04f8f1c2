"""What can go wrong while the embedded stack starts, runs or stops."""

from __future__ import annotations


class StackError(Exception):
    """The embedded stack cannot do what was asked.

    The message is one or two full sentences for the person at the command line: what is
    wrong, with which part, and what to do about it.
    """
