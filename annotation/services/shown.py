"""A recording shown to its rater: only theirs, only while consent allows it, range by range."""

from __future__ import annotations

import re

from annotation.models import Assignment
from annotation.services.publish import WITHDRAWN
from annotation.services.stays import GOING_ON, Stay
from waver.consent.models import Purpose
from waver.core.errors import ConsentRefused, Missing, NotAllowed
from waver.recordings import media
from waver.recordings.models import Asset

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNKNOWN = "This recording is not part of your work."
_GO_ON = " Go on with the next one."


def show(stay: Stay, token: str, range_header: str | None) -> media.Served:
    """Answer a rater's request for the bytes behind a media token.

    Raises Missing for a token that is not the rater's, not of this project or of a closed batch,
    NotAllowed for work given to another rater, and ConsentRefused, whose sentence names nobody,
    since raters do not know participants' codes.
    """
    if not _TOKEN.fullmatch(token):  # anything else, such as a zero byte, is nobody's
        raise Missing(_UNKNOWN)
    row = (
        Assignment.objects.filter(
            media_token=token,
            rater=stay.user,
            batch__projects__remote_id=stay.project,
            batch__projects__rater=stay.user,
            batch__state__in=GOING_ON,
        )
        .select_related("recording__take__participant")
        .first()
    )
    if row is None:
        raise Missing(_UNKNOWN)
    if row.state == Assignment.State.WITHDRAWN:
        raise ConsentRefused(f"{WITHDRAWN}{_GO_ON}", purpose=Purpose.ANNOTATE.value)
    if row.state == Assignment.State.TAKEN_BACK:
        raise NotAllowed(f"This recording was given to another rater.{_GO_ON}")
    asset = Asset.objects.filter(recording=row.recording, kind=Asset.Kind.PROXY).first()
    if asset is None:
        raise Missing("This recording has nothing to show. Tell the study's researchers.")
    try:
        return media.serve(
            asset, range_header, actor=f"rater {stay.user.pk}", purpose=Purpose.ANNOTATE
        )
    except ConsentRefused as refusal:
        raise ConsentRefused(f"{WITHDRAWN}{_GO_ON}", purpose=refusal.purpose) from refusal
