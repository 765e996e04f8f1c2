"""What somebody is still to label themself: until then, nobody shows them what others said of it.

Small labs have researchers who also rate. Raters' independence must not hang on their discipline.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from annotation.models import Assignment
from annotation.services.assignment.reassign import UNFINISHED
from waver.accounts.models import User
from waver.core.errors import NotAllowed
from waver.recordings.models import Recording


def still_to_label(who: User, recordings: Iterable[UUID]) -> frozenset[UUID]:
    """Give those of the recordings that somebody was asked to label and has not submitted.

    The other views of a take show the same moments, so each of them counts with the one asked for.
    """
    asked = Assignment.objects.filter(rater=who, state__in=UNFINISHED)
    takes = Recording.objects.filter(assignments__in=asked).values("take")
    rows = Recording.objects.filter(pk__in=list(recordings), take__in=takes)
    return frozenset(rows.values_list("pk", flat=True))


def require_submitted(who: User, recording: Recording) -> None:
    """Make sure that seeing others' labels and cue candidates does not spoil somebody's own.

    Raises NotAllowed for who is still to label the recording.
    """
    if still_to_label(who, [recording.pk]):
        raise NotAllowed(
            "You are a rater of this recording and have not submitted it yet. What others said "
            "about it, and what computers marked in it, opens to you afterwards: raters label "
            "blind."
        )
