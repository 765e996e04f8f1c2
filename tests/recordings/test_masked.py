"""Masked previews of real recordings: asked for, made once, outdated, refused."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from django.test import Client

from tests.factories import MembershipFactory
from waver.consent import withdrawal
from waver.core import storage
from waver.core.clock import Span
from waver.core.errors import Conflict, ConsentRefused
from waver.core.models import Job
from waver.recordings.masked import Masked, ask_for_masked_preview, masked_preview
from waver.recordings.models import Asset, Recording, Stage
from workers import runner

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.programs]


@pytest.fixture
def ready(receive, face: Path) -> Recording:
    """A recording of 15 frames that has been prepared."""
    recording = receive(face)
    assert {job.state for job in runner.drain()} == {"done"}
    recording.refresh_from_db()
    return recording


def frames_of(asset: Asset) -> list[float]:
    """How much each frame of a video varies: 0 where it is one grey."""
    with storage.materialise(asset.blob, suffix=".mp4") as path, av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray").std() for frame in container.decode(video=0)]


def test_a_preview_is_made_once_for_a_recording_as_it_is_and_again_when_that_changes(
    ready: Recording, study, client: Client
) -> None:
    member = MembershipFactory(study=study, role="researcher")
    client.force_login(member.user)
    page = f"/studies/{study.code}/recordings/{ready.pk}/"
    assert masked_preview(ready).state == "none"
    assert b"Make a masked preview" in client.get(page).content

    assert client.post(f"{page}masked/").status_code == 302
    assert masked_preview(ready).state == "asked"
    first = ask_for_masked_preview(ready, actor="tests")
    assert first is not None
    assert Job.objects.filter(name="recordings.mask").count() == 1
    assert [job.state for job in runner.drain()] == ["done"]
    made = masked_preview(ready)
    assert (made.state, made.recall, made.shortcoming) == ("made", 1.0, "")
    assert made.asset is not None
    assert len(frames_of(made.asset)) == ready.frame_count == made.figures["frames"]
    assert made.figures["frames_masked"] == ready.frame_count
    assert made.asset.made_by["stage"] == "mask"
    assert ask_for_masked_preview(ready, actor="tests") is None
    shown = client.get(page).content.decode()
    assert "media/masked_preview/" in shown
    assert "100 % of the 4 faces" in shown
    assert client.get(f"{page}media/masked_preview/").status_code == 200
    ready.refresh_from_db()
    assert ready.state == Recording.State.READY

    # A stretch is restricted: the preview does not count any more, and the next one is blank there.
    withdrawal.restrict(
        participant=ready.participant, recording_id=ready.pk, span=Span(200_000, 400_000),
        reason="someone came in", actor="tests",
    )  # fmt: skip
    assert masked_preview(ready).state == "outdated"
    assert "no masked preview of it as it is now" in masked_preview(ready).shortcoming
    assert ask_for_masked_preview(ready, actor="tests") is not None
    assert [job.state for job in runner.drain()] == ["done"]
    again = masked_preview(ready)
    assert again.state == "made"
    assert again.asset is not None
    shown_frames = frames_of(again.asset)
    assert [n for n, spread in enumerate(shown_frames) if spread < 2] == [3, 4, 5]
    assert Asset.objects.filter(recording=ready, kind="masked_preview").count() == 1


def test_without_consent_nothing_is_masked_and_a_failed_preview_holds_nothing_up(
    ready: Recording,
) -> None:
    assert ask_for_masked_preview(ready, actor="tests") is not None
    Asset.objects.filter(recording=ready, kind="landmarks").delete()
    with pytest.raises(Conflict, match="have not been found yet"):
        ask_for_masked_preview(ready, actor="tests")
    (job,) = runner.drain()
    assert job.state == Job.State.FAILED
    ready.refresh_from_db()
    assert ready.state == Recording.State.READY

    withdrawal.withdraw(participant=ready.participant, actor="tests")
    with pytest.raises(ConsentRefused):
        ask_for_masked_preview(ready, actor="tests")
    assert not Stage.objects.filter(recording=ready, name="mask", state="done").exists()


@pytest.mark.parametrize(
    ("figures", "problem"),
    [
        ({"recall": 0.995, "faces_still_seen": 2, "faces_found": 200}, ""),
        ({"recall": None, "faces_still_seen": 0, "faces_found": 0}, ""),
        ({"recall": 0.98, "faces_still_seen": 0, "faces_found": 50}, "Only 98.0% of the faces"),
        ({"recall": 1.0, "faces_still_seen": 3, "faces_found": 200}, "still sees 3 faces"),
        ({"recall": None, "faces_still_seen": 1, "faces_found": 0}, "still sees 1 face"),
    ],
)
def test_what_is_good_enough_for_people_outside(figures: dict[str, object], problem: str) -> None:
    assert problem in Masked("made", figures=figures).shortcoming
    assert bool(problem) == bool(Masked("made", figures=figures).shortcoming)
