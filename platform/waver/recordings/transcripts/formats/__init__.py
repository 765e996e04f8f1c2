"""The files that transcripts come in. A new format is one module here and one line below.

Each module reads bytes into a `Reading`, and raises BadInput with sentences that name lines.
ELAN's files are read one layer up, in annotation.services.elan_transcripts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from waver.recordings.transcripts.formats import bah_yaml, srt, webvtt
from waver.recordings.transcripts.reading import Reader

READERS: Mapping[str, tuple[str, Reader]] = MappingProxyType(
    {
        ".vtt": ("WebVTT", webvtt.read),
        ".srt": ("SRT", srt.read),
        ".yml": ("BAH's YAML", bah_yaml.read),
        ".yaml": ("BAH's YAML", bah_yaml.read),
    }
)
"""A file name's ending -> the format's name and its reader."""
