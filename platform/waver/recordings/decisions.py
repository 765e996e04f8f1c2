"""What a person must decide about a recording before it is annotated, and what they have decided.

Stages ask (no face, several people, something missing), and so do the study's thresholds. What a
person accepted stays accepted: a stage asks again only when it has something else to say, and
thresholds ask nobody about a recording that was accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from waver.core import states
from waver.recordings.models import Quality, Recording, Stage
from waver.recordings.quality.rules import decision_about, decision_of

if TYPE_CHECKING:
    from waver.recordings.pipeline import StageKind

    Known = Sequence[tuple[StageKind, Stage]]

_State = Recording.State
_FACES = "faces"


def asked_by_stages(known: Known) -> list[str]:
    """Give the sentences for which the stages want a decision; `known` are those that ended."""
    asked = [stage.figures["decide"] for _, stage in known if stage.figures.get("decide")]
    return asked + [
        f"{kind.missing} {stage.error}"
        for kind, stage in known
        if stage.state == Stage.State.FAILED
    ]


def still_open(recording: Recording, known: Known) -> list[str]:
    """Give the sentences for which a person must still decide about the recording."""
    left = _unaccepted(recording, known)
    if recording.accepted_decisions is None:
        left += _said(decision_of(recording, faces_decide=_faces_decide(known)))
    return left


def follow_verdict(recording: Recording, quality: Quality, known: Known, *, in_use: bool) -> None:
    """Let the locked recording's state follow from a verdict that changed.

    Only one that is ready or needs a decision moves, and none that is in use is taken back.
    """
    left = _unaccepted(recording, known)
    if recording.accepted_decisions is None:
        faces = _faces_decide(known)
        left += _said(decision_about(quality, in_use=in_use, faces_decide=faces))
    to, error = (_State.ATTENTION if left else _State.READY), " ".join(left)
    if (recording.state, recording.error) == (to, error):
        return
    if recording.state == _State.ATTENTION or (recording.state == _State.READY and not in_use):
        states.move(recording, to=to, allowed_from=[recording.state], error=error)


def _unaccepted(recording: Recording, known: Known) -> list[str]:
    accepted = recording.accepted_decisions or []
    return [sentence for sentence in asked_by_stages(known) if sentence not in accepted]


def _faces_decide(known: Known) -> bool:
    figures: Mapping[str, object] = next(
        (stage.figures for kind, stage in known if kind.name == _FACES), {}
    )
    return bool(figures.get("decide"))


def _said(sentence: str) -> list[str]:
    return [sentence] if sentence else []
