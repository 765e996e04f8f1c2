"""What is said, in BAH's layout: a file for each video, and its text beside the labels.

The containers take the text from the release's own files, never from the transcript as it stands:
a release does not change when a transcript is corrected, nor when somebody is taken out of it.
"""

from __future__ import annotations

from typing import Any

import yaml

from waver.core import storage
from waver.datasets.content import Clip
from waver.datasets.draft import Draft
from waver.datasets.manifest import File
from waver.recordings.models import Asset
from waver.recordings.transcripts.formats import bah_yaml
from waver.recordings.transcripts.said import Said

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def write(clip: Clip, draft: Draft, *, folder: str) -> File:
    """Write the transcript that stands now, or that there is none."""
    asset = clip.assets.get(Asset.Kind.TRANSCRIPT)
    said = None
    if asset is not None:
        said = Said.from_json(b"".join(storage.open_range(asset.blob)))
    return draft.write(_path(clip, folder), bah_yaml.write(said))


def released_text(clip: Clip, draft: Draft, *, folder: str) -> str | None:
    """Give the text that the release's own file holds, in one line; None where there is none."""
    with (draft.root / _path(clip, folder)).open(encoding="utf-8") as file:
        text = yaml.load(file, Loader=_Loader)["text"]  # noqa: S506 - a safe loader, our own file
    return " ".join(str(text).split()) if text is not None else None


def unquoted(text: str | None) -> str:
    """Give a text as the last field of a split file, which knows no quoting; "" for none."""
    return (text or "").replace('"', "'")


def _path(clip: Clip, folder: str) -> str:
    return f"{folder}/transcription/{clip.video_id}/{clip.code}.yml"
