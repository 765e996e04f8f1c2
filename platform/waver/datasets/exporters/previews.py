"""Masked previews, where the release was asked for with them: one video and its figures a clip.

previews/<participant>/<name>.mp4      every face covered, no sound
previews/<participant>/<name>.json     what a second detector found, and how much is covered
"""

from __future__ import annotations

import json

from waver.datasets.content import Content
from waver.datasets.draft import Draft
from waver.recordings.masked import RECALL_NEEDED
from waver.recordings.models import Asset

NAME = "previews"
BUILDER = "previews/1"
TITLE = "Masked previews"
ON_REQUEST = True
FOLDER = "previews"
_FIGURES = (
    "frames", "frames_checked", "checked_by", "faces_found", "faces_covered", "recall",
    "faces_still_seen",
)  # fmt: skip


def applies(content: Content) -> bool:
    """Tell whether the release was asked for with masked previews."""
    return content.with_previews


def write_shares(content: Content, draft: Draft) -> None:
    """Write each preview and its figures."""
    for clip in content.clips:
        preview = clip.assets.get(Asset.Kind.MASKED_PREVIEW)
        if preview is None or clip.preview is None:
            continue
        place = f"{FOLDER}/{clip.participant}/{clip.code}"
        figures = {name: clip.preview.figures[name] for name in _FIGURES}
        draft.share(
            clip,
            "masked_preview",
            draft.copy(preview.blob, f"{place}.mp4"),
            draft.write(f"{place}.json", f"{json.dumps(figures, indent=1)}\n".encode()),
        )


def write_containers(content: Content, draft: Draft) -> None:
    """Write nothing: each preview belongs to one participant."""


def describe(content: Content) -> list[str]:
    """Say what the previews are and for whom there is none."""
    what = (
        f"`{FOLDER}/` has a copy of each video, frame for frame, with every face under one grey "
        "and without sound. Beside it stands how many of the faces that a second detector found "
        "are covered. Clothes, rooms and movement stay: handle the previews as the videos."
    )
    missing = (
        f"A recording has none where fewer than {RECALL_NEEDED:.0%} of these faces are covered, or "
        "where it could not be made."
    )
    return [what, missing]
