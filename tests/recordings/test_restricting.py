"""What is restricted in one view is restricted in every view of the take, on each one's clock."""

from __future__ import annotations

import pytest

from tests.factories import RecordingFactory, sensor_recording
from waver.consent import policy
from waver.consent.models import Purpose, Restriction
from waver.core.clock import Span
from waver.core.errors import Conflict
from waver.recordings.models import Recording
from waver.recordings.placing import Placing
from waver.recordings.restricting import carry, restrict
from waver.recordings.subjects import subject_of

pytestmark = pytest.mark.django_db
SECOND = 1_000_000


def stretches(recording: Recording) -> list[tuple[int, int]]:
    rows = Restriction.objects.filter(recording_id=recording.pk).order_by("start_us")
    return [(row.start_us, row.end_us) for row in rows]


@pytest.fixture
def webcam() -> Recording:
    return RecordingFactory()


@pytest.fixture
def side(webcam: Recording) -> Recording:
    """Give a camera that began two seconds after the webcam."""
    return RecordingFactory(
        take=webcam.take, view=Recording.View.SECOND_CAMERA, offset_us=2 * SECOND
    )


def test_a_stretch_is_restricted_in_every_view_at_the_same_moment(webcam, side):
    wrist = sensor_recording(webcam.take, offset_us=-SECOND)
    other = RecordingFactory()
    span = Span(3 * SECOND, 4 * SECOND)

    made = restrict(recording=webcam, span=span, reason="a guest", actor="tests")

    assert made[0].recording_id == webcam.pk
    assert stretches(webcam) == [(3 * SECOND, 4 * SECOND)]
    assert stretches(side) == [(1 * SECOND, 2 * SECOND)]
    assert stretches(wrist) == [(4 * SECOND, 5 * SECOND)]
    assert stretches(other) == []
    refused = policy.decide(Purpose.ANNOTATE, subject_of(side), span=Span(SECOND, 2 * SECOND))
    assert refused.rule == "restricted"


def test_what_a_view_did_not_see_is_left_out_and_what_is_restricted_there_stays(webcam, side):
    restrict(recording=side, span=Span(SECOND, 2 * SECOND), reason="a guest", actor="tests")
    restrict(recording=webcam, span=Span(0, SECOND), reason="a name", actor="tests")
    with pytest.raises(Conflict, match="restricted already"):
        restrict(recording=webcam, span=Span(2 * SECOND, 6 * SECOND), reason="x", actor="tests")
    restrict(recording=webcam, span=Span(SECOND, 3 * SECOND), reason="a name", actor="tests")

    assert stretches(webcam) == [(0, SECOND), (SECOND, 3 * SECOND), (3 * SECOND, 4 * SECOND)]
    assert stretches(side) == [(0, SECOND), (SECOND, 2 * SECOND)]


def test_a_view_that_comes_later_or_is_placed_anew_is_restricted_too(receive, tmp_path):
    path = tmp_path / "front.mp4"
    path.write_text("a webcam's bytes")
    webcam = receive(path, placing=Placing(take="T1"))
    restrict(recording=webcam, span=Span(3 * SECOND, 4 * SECOND), reason="guest", actor="tests")
    path = tmp_path / "side.mp4"
    path.write_text("another camera's bytes")
    side = receive(path, placing=Placing("T1", "second_camera", SECOND))
    assert stretches(side) == [(2 * SECOND, 3 * SECOND)]

    side.offset_us = SECOND // 2
    side.save(update_fields=["offset_us"])
    carry(side)
    assert stretches(side) == [(2 * SECOND, 3 * SECOND), (3 * SECOND, 7 * SECOND // 2)]
    assert stretches(webcam) == [(3 * SECOND, 4 * SECOND)]
