"""What can be wrong with a sensor file."""

from __future__ import annotations


class SignalError(Exception):
    """The file, or what was said about it, must be corrected. The message is a full sentence."""
