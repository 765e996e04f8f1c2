"""Whoever is still to label a recording sees nothing of it, from whichever side it was filmed."""

from __future__ import annotations

import pytest

from annotation.models import Assignment
from annotation.services.own_work import require_submitted, still_to_label
from tests.factories import AssignmentFactory, RecordingFactory, sensor_recording
from waver.core.errors import NotAllowed
from waver.recordings.models import Recording

pytestmark = pytest.mark.django_db


def test_the_other_views_of_a_take_open_with_the_one_that_was_to_be_labelled():
    asked = AssignmentFactory()
    webcam, rater = asked.recording, asked.rater
    side = RecordingFactory(take=webcam.take, view=Recording.View.SECOND_CAMERA)
    wrist = sensor_recording(webcam.take)
    other = RecordingFactory(study=webcam.study)
    everything = [webcam.pk, side.pk, wrist.pk, other.pk]

    assert still_to_label(rater, everything) == {webcam.pk, side.pk, wrist.pk}
    with pytest.raises(NotAllowed, match="label blind"):
        require_submitted(rater, side)
    require_submitted(rater, other)

    Assignment.objects.filter(pk=asked.pk).update(state=Assignment.State.SUBMITTED)
    assert still_to_label(rater, everything) == frozenset()
    require_submitted(rater, side)
