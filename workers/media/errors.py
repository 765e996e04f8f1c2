"""What can go wrong with a recording, and who has to act."""

from __future__ import annotations


class MediaError(Exception):
    """A recording could not be used. The message is a full sentence for the researcher."""


class RefusedRecordingError(MediaError):
    """The file itself is at fault: whoever supplied it has to supply it again, or a better one."""


class MediaToolError(MediaError):
    """ffmpeg, or the machine it runs on, is at fault: the administrator has to act."""


class MediaCancelledError(MediaError):
    """Somebody asked for this run to stop. Nobody has to act."""
