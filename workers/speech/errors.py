"""What can go wrong when speech is looked for."""

from __future__ import annotations


class SpeechError(Exception):
    """A sound file or a model that speech detection cannot work with; the message says why."""
