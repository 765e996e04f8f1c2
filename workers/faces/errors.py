"""What can go wrong when faces are looked for."""

from __future__ import annotations


class FaceError(Exception):
    """A video, a model or a request that face extraction cannot work with; the message says why."""
